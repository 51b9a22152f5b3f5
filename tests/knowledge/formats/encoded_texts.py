"""Sentences and tables in many languages, and the encodings that programs write them in.

`SENTENCES` has eight a language: detection was tuned with the first four, the others were held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_WESTERN = ("cp1252", "iso-8859-1", "iso-8859-15", "cp850", "mac-roman")
_CENTRAL = ("cp1250", "iso-8859-2")
ENCODINGS = {
    "de": _WESTERN,
    "fr": _WESTERN,
    "es": _WESTERN,
    "pt": _WESTERN,
    "it": _WESTERN,
    "sv": ("cp1252", "iso-8859-1", "iso-8859-15"),
    "pl": _CENTRAL,
    "cs": _CENTRAL,
    "hu": _CENTRAL,
    "ro": _CENTRAL,
    "ru": ("cp1251", "koi8-r", "iso-8859-5", "cp866"),
    "uk": ("cp1251", "koi8-u"),
    "bg": ("cp1251",),
    "el": ("cp1253", "iso-8859-7"),
    "tr": ("cp1254", "iso-8859-9"),
    "he": ("cp1255",),
    "ar": ("cp1256",),
    "th": ("cp874",),
    "lt": ("cp1257",),
    "ja": ("cp932", "euc-jp", "iso-2022-jp"),
    "ko": ("euc-kr", "cp949"),
    "zh-Hans": ("gb18030", "gbk"),
    "zh-Hant": ("big5", "big5hkscs"),
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")

SENTENCES = {
    "de": (
        "Die Prüfung der Schläuche erfolgt jährlich.",
        "Für Rückfragen erreichen Sie Frau Müller täglich von 8 bis 16 Uhr im Büro.",
        "Der Kündigung muss schriftlich widersprochen werden, spätestens jedoch nach vier Wochen.",
        "Größere Mengen lagern wir außerhalb der Öffnungszeiten im Kühlraum.",
        "Überstunden werden ausbezahlt.",
        "Bitte schließen Sie vor dem Verlassen des Gebäudes alle Fenster und Türen.",
        "Die Gebühren für das Parken übernimmt die Gemeinde nur auf Antrag.",
        "Während der Bauarbeiten führt der Weg über die alte Brücke nach Köln.",
    ),
    "fr": (
        "Le café est fermé jusqu'à lundi.",
        "Les élèves doivent déposer leur dossier complet avant la rentrée de septembre.",
        "Après réception du paiement, la commande est expédiée dans un délai de trois jours.",
        "L'hôtel où nous étions logés l'été dernier a été entièrement rénové.",
        "Elle préfère le thé.",
        "Veuillez vérifier que la lumière est éteinte et que la fenêtre a été fermée.",
        "La garantie ne couvre ni les dégâts causés par l'eau ni ceux dus à une mauvaise utilisation.",
        "Ça dépend de la durée du séjour et du numéro de la chambre.",
    ),
    "es": (
        "La reunión empieza a las nueve de la mañana.",
        "¿Cuántos días de vacaciones tiene un empleado según el convenio?",
        "El señor Muñoz firmó el contrato de alquiler el año pasado en Málaga.",
        "La garantía cubre únicamente las piezas dañadas durante el envío.",
        "Abrirá también el sábado.",
        "Los niños menores de tres años viajan gratis en autobús y en tren.",
        "Según la dirección, el último pago se hará después de la inspección técnica.",
        "Está prohibido fumar en todo el edificio, también en el jardín pequeño.",
    ),
    "pt": (
        "A reunião começa às nove da manhã.",
        "As férias devem ser marcadas até ao fim de março, após aprovação da direção.",
        "O relatório da inspeção não menciona as condições do armazém em São João.",
        "A informação está disponível no balcão de atendimento ao público.",
        "Não há estação aqui.",
        "Os cartões perdidos são substituídos mediante o pagamento de três euros.",
        "A manutenção do portão é da responsabilidade da administração do edifício.",
        "Você também poderá alterar a sua opção de alimentação na próxima semana.",
    ),
    "it": (
        "Perché la città è così bella?",
        "La società comunicherà le novità più importanti entro venerdì.",
        "Il personale può chiedere un permesso, purché ne dia comunicazione con anticipo.",
        "L'università è aperta da lunedì a giovedì e la biblioteca anche il sabato.",
        "Però è già tardi.",
        "Chi perde la chiave dovrà pagare la metà del costo della serratura.",
        "Il caffè è servito nella sala accanto alla proprietà comunale.",
        "La qualità dell'acqua sarà verificata ogni mese, perciò serve un'unità mobile.",
    ),
    "sv": (
        "Mötet börjar klockan nio på måndag.",
        "Köket är öppet för alla anställda från åtta till fyra.",
        "Nyckeln måste lämnas tillbaka före årets slut till vaktmästaren.",
        "Vi behöver två nya däck till bilen innan vintern kommer.",
        "Båten går från Åbo.",
        "Räkningen betalas inom trettio dagar efter att varan har kommit fram.",
        "Rökning är förbjuden på hela området, även på gården.",
        "När det gäller försäkringar står villkoren på nästa sida.",
    ),
    "pl": (
        "Zażółć gęślą jaźń i idź spać.",
        "Proszę zgłosić się do biura w ciągu siedmiu dni od otrzymania pisma.",
        "Urlop wypoczynkowy przysługuje każdemu pracownikowi po upływie miesiąca.",
        "Wysokość opłaty zależy od długości pobytu i wielkości pokoju.",
        "Sklep jest dziś zamknięty.",
        "Książki można wypożyczyć bezpłatnie na okres czterech tygodni.",
        "Zgłoszenie należy złożyć osobiście, ponieważ wymagany jest własnoręczny podpis.",
        "Główne wejście znajduje się obok stołówki, naprzeciwko ścieżki rowerowej.",
    ),
    "cs": (
        "Příliš žluťoučký kůň úpěl ďábelské ódy.",
        "Žádost je třeba podat nejpozději do třiceti dnů od doručení rozhodnutí.",
        "Zaměstnanec má nárok na pět týdnů dovolené za kalendářní rok.",
        "Klíče od skladu jsou uloženy v kanceláři vedoucího směny.",
        "Dveře zůstanou zavřené.",
        "Průměrná teplota vody v bazénu se měří každý den v půl osmé ráno.",
        "Cena zahrnuje ubytování, snídani a vstup do všech částí hradu.",
        "Při ztrátě průkazu se prosím obraťte na nejbližší pobočku.",
    ),
    "hu": (
        "Az árvíztűrő tükörfúrógép jól működik.",
        "A szabadságot legkésőbb két héttel előtte írásban kell kérni.",
        "A könyvtár hétfőtől péntekig reggel nyolctól este hatig tart nyitva.",
        "Kérjük, őrizze meg a számlát, mert csere csak ezzel lehetséges.",
        "Előbb küldje el a levelet.",
        "A gyerekek tizennégy éves korukig ingyen utazhatnak a fővárosban.",
        "A fűtési költség összegét a közös képviselő közli a lakókkal.",
        "Öt új gép érkezett, ezért bővítjük a műhelyt és felveszünk két szerelőt.",
    ),
    "ro": (
        "Cafeneaua este închisă până mâine.",
        "Cererea trebuie depusă în scris, înainte de sfârşitul lunii.",
        "Angajaţii au dreptul la douăzeci de zile de concediu în fiecare an.",
        "Vă rugăm să păstraţi bonul, fiindcă garanţia nu este valabilă fără el.",
        "Mâncarea este foarte bună.",
        "Plata se face la ghişeu sau prin bancă, în termen de cinci zile.",
        "Copiii sub şapte ani călătoresc gratuit împreună cu părinţii.",
        "Uşa de la intrare rămâne încuiată după ora zece şi jumătate.",
    ),
    "ru": (
        "Отпуск длится двадцать восемь дней.",
        "Заявление подаётся в отдел кадров не позднее чем за две недели.",
        "Стоимость проезда возмещается при наличии билета и чека.",
        "Ключи от склада находятся у начальника смены, его телефон указан ниже.",
        "Магазин сегодня закрыт.",
        "Гарантия не распространяется на повреждения, вызванные водой.",
        "Детям до семи лет вход бесплатный, остальным нужен билет.",
        "Перед началом работы проверьте давление в котле и уровень масла.",
    ),
    "uk": (
        "Відпустка триває двадцять чотири дні.",
        "Заяву треба подати до відділу кадрів не пізніше ніж за два тижні.",
        "Її ключі зберігаються у начальника зміни, який працює щодня.",
        "Вартість проїзду відшкодовується за наявності квитка.",
        "Крамниця сьогодні зачинена.",
        "Гарантія не поширюється на пошкодження, спричинені водою чи вогнем.",
        "Діти віком до семи років їздять безкоштовно разом із батьками.",
        "Перед початком роботи перевірте тиск у котлі й рівень оливи.",
    ),
    "bg": (
        "Отпускът е двадесет работни дни.",
        "Заявлението се подава в отдела по кадрите най-късно две седмици преди това.",
        "Ключовете от склада се намират при началника на смяната.",
        "Гаранцията не покрива щети, които са причинени от вода.",
        "Магазинът днес е затворен.",
        "Децата до седем години пътуват безплатно с родителите си.",
        "Преди започване на работа проверете налягането в котела.",
        "Цената включва нощувка, закуска и вход за музея в града.",
    ),
    "el": (
        "Η άδεια διαρκεί είκοσι ημέρες.",
        "Η αίτηση υποβάλλεται γραπτώς το αργότερο δύο εβδομάδες πριν.",
        "Τα κλειδιά της αποθήκης βρίσκονται στο γραφείο του υπευθύνου.",
        "Η εγγύηση δεν καλύπτει ζημιές που προκλήθηκαν από νερό.",
        "Το κατάστημα είναι κλειστό.",
        "Τα παιδιά κάτω των επτά ετών ταξιδεύουν δωρεάν με τους γονείς τους.",
        "Πριν από την έναρξη της εργασίας ελέγξτε την πίεση του λέβητα.",
        "Άλλες πληροφορίες δίνονται κάθε πρωί στην είσοδο του δημαρχείου.",
    ),
    "tr": (
        "Yıllık izin yirmi iş günüdür.",
        "Başvuru, en geç iki hafta önce yazılı olarak yapılmalıdır.",
        "Deponun anahtarları vardiya şefinin odasında bulunmaktadır.",
        "Garanti, suyun neden olduğu hasarları kapsamaz; ayrıntılar aşağıdadır.",
        "Dükkân bugün kapalı, yarın açık.",
        "Yedi yaşından küçük çocuklar ücretsiz yolculuk edebilir.",
        "İşe başlamadan önce kazanın basıncını ve yağ düzeyini kontrol ediniz.",
        "Fiyata kahvaltı, oda ve müzeye giriş ücreti dahildir.",
    ),
    "he": (
        "החופשה השנתית היא עשרים ימים.",
        "את הבקשה יש להגיש בכתב לא יאוחר משבועיים מראש.",
        "המפתחות של המחסן נמצאים במשרד של מנהל המשמרת.",
        "האחריות אינה מכסה נזקים שנגרמו על ידי מים.",
        "החנות סגורה היום.",
        "ילדים מתחת לגיל שבע נוסעים חינם עם ההורים שלהם.",
        "לפני תחילת העבודה יש לבדוק את הלחץ בדוד ואת מפלס השמן.",
        "המחיר כולל לינה, ארוחת בוקר וכניסה למוזיאון העירוני.",
    ),
    "ar": (
        "الإجازة السنوية عشرون يوما.",
        "يجب تقديم الطلب كتابة قبل أسبوعين على الأقل من الموعد.",
        "مفاتيح المخزن موجودة في مكتب رئيس الوردية.",
        "لا يشمل الضمان الأضرار التي تسببها المياه أو النار.",
        "المتجر مغلق اليوم.",
        "الأطفال دون السابعة يسافرون مجانا مع والديهم في القطار.",
        "قبل بدء العمل افحص ضغط المرجل ومستوى الزيت.",
        "السعر يشمل الإقامة والإفطار والدخول إلى متحف المدينة.",
    ),
    "th": (
        "พนักงานลาพักร้อนได้ยี่สิบวันต่อปี",
        "กรุณายื่นใบลาเป็นลายลักษณ์อักษรล่วงหน้าอย่างน้อยสองสัปดาห์",
        "กุญแจของคลังสินค้าอยู่ที่ห้องทำงานของหัวหน้ากะ",
        "การรับประกันไม่ครอบคลุมความเสียหายที่เกิดจากน้ำ",
        "วันนี้ร้านปิด",
        "เด็กอายุต่ำกว่าเจ็ดปีเดินทางฟรีพร้อมกับผู้ปกครอง",
        "ก่อนเริ่มงานให้ตรวจสอบแรงดันในหม้อไอน้ำและระดับน้ำมัน",
        "ราคานี้รวมที่พัก อาหารเช้า และค่าเข้าชมพิพิธภัณฑ์ของเมือง",
    ),
    "lt": (
        "Kasmetinės atostogos trunka dvidešimt dienų.",
        "Prašymą reikia pateikti raštu ne vėliau kaip prieš dvi savaites.",
        "Sandėlio raktai yra pamainos viršininko kabinete.",
        "Garantija netaikoma vandens sukeltai žalai, todėl būkite atsargūs.",
        "Šiandien parduotuvė uždaryta.",
        "Vaikai iki septynerių metų keliauja nemokamai kartu su tėvais.",
        "Prieš pradėdami darbą patikrinkite slėgį katile ir alyvos lygį.",
        "Į kainą įskaičiuota nakvynė, pusryčiai ir įėjimas į muziejų.",
    ),
    "ja": (
        "年次有給休暇は二十日です。",
        "申請書は遅くとも二週間前までに人事部へ提出してください。",
        "倉庫の鍵は当番の責任者の机の引き出しにあります。",
        "水による損傷は保証の対象になりませんのでご注意ください。",
        "本日は休業日です。",
        "七歳未満の子供は、保護者と一緒であれば無料で乗車できます。",
        "作業を始める前に、ボイラーの圧力とオイルの量を確認すること。",
        "料金には宿泊、朝食、そして市立博物館への入場料が含まれています。",
    ),
    "ko": (
        "연차 휴가는 이십 일입니다.",
        "신청서는 늦어도 두 주 전까지 인사부에 제출해야 합니다.",
        "창고 열쇠는 근무 책임자의 책상 서랍에 있습니다.",
        "물로 인한 손상은 보증 대상에 포함되지 않으니 주의하십시오.",
        "오늘은 쉬는 날입니다.",
        "일곱 살 미만의 어린이는 보호자와 함께 무료로 탈 수 있습니다.",
        "작업을 시작하기 전에 보일러의 압력과 기름의 양을 확인하십시오.",
        "요금에는 숙박과 아침 식사, 박물관 입장료가 모두 들어 있습니다.",
    ),
    "zh-Hans": (
        "员工每年享有二十天年假。",
        "申请表应当至少提前两周以书面形式提交给人事部门。",
        "仓库的钥匙放在值班主管办公室的抽屉里。",
        "因进水造成的损坏不在保修范围之内，请特别注意。",
        "商店今天不营业。",
        "七岁以下的儿童由家长陪同可以免费乘车。",
        "开始工作之前，请检查锅炉的压力和机油的高度。",
        "价格包括住宿、早餐以及市立博物馆的门票。",
    ),
    "zh-Hant": (
        "員工每年享有二十天年假。",
        "申請表應當至少提前兩週以書面形式提交給人事部門。",
        "倉庫的鑰匙放在值班主管辦公室的抽屜裡。",
        "因進水造成的損壞不在保固範圍之內，請特別注意。",
        "商店今天不營業。",
        "七歲以下的兒童由家長陪同可以免費乘車。",
        "開始工作之前，請檢查鍋爐的壓力和機油的高度。",
        "價格包括住宿、早餐以及市立博物館的門票。",
    ),
}
# The header of a price list, and four names of things or people, as a spreadsheet exports them.
TABLES = {
    "de": (("Straße", "Ort", "Stück", "Preis"), ("Müller Jörg", "Köln", "Schäfer Käthe", "München")),
    "fr": (("Numéro", "Désignation", "Qté", "Prix"), ("François Lefèvre", "Orléans", "Crème brûlée", "Nîmes")),
    "es": (("Código", "Descripción", "Año", "Precio"), ("Núñez Íñigo", "Málaga", "Jamón", "Coruña")),
    "pt": (("Código", "Descrição", "Mês", "Preço"), ("João Gonçalves", "São Paulo", "Pão", "Guimarães")),
    "it": (("Città", "Quantità", "Unità", "Prezzo"), ("Niccolò Forlì", "Cefalù", "Caffè", "Cantù")),
    "sv": (("Gata", "Ort", "Antal", "Pris på vara"), ("Åsa Sjöström", "Malmö", "Göran Öberg", "Växjö")),
    "pl": (("Imię", "Miejscowość", "Ilość", "Cena"), ("Łukasz Wójcik", "Łódź", "Małgorzata Dąbrowska", "Gdańsk")),
    "cs": (("Jméno", "Město", "Množství", "Cena"), ("Jiří Dvořák", "Plzeň", "Tomáš Růžička", "Děčín")),
    "hu": (("Név", "Település", "Mennyiség", "Ár"), ("Kovács Győző", "Győr", "Szűcs Ildikó", "Pécs")),
    "ro": (("Nume", "Oraş", "Cantitate", "Preţ"), ("Ştefan Ionaşcu", "Braşov", "Ţuţea Mădălina", "Timişoara")),
    "ru": (("Имя", "Город", "Количество", "Цена"), ("Иванов Пётр", "Казань", "Смирнова Ольга", "Тверь")),
    "uk": (("Ім'я", "Місто", "Кількість", "Ціна"), ("Шевченко Їржи", "Київ", "Ковальчук Олена", "Львів")),
    "bg": (("Име", "Град", "Количество", "Цена"), ("Иванов Димитър", "София", "Петрова Йорданка", "Пловдив")),
    "el": (("Όνομα", "Πόλη", "Ποσότητα", "Τιμή"), ("Παπαδόπουλος Γιώργος", "Αθήνα", "Οικονόμου Ελένη", "Πάτρα")),
    "tr": (("Adı", "Şehir", "Sayı", "Fiyatı"), ("Yılmaz Ayşe", "İstanbul", "Şahin Uğur", "Eskişehir")),
    "he": (("שם", "עיר", "כמות", "מחיר"), ("כהן דוד", "חיפה", "לוי שרה", "ירושלים")),
    "ar": (("الاسم", "المدينة", "الكمية", "السعر"), ("محمد علي", "القاهرة", "فاطمة حسن", "بغداد")),
    "th": (("ชื่อ", "เมือง", "จำนวน", "ราคา"), ("สมชาย ใจดี", "กรุงเทพ", "มาลี สุขใจ", "เชียงใหม่")),
    "lt": (("Vardas", "Miestas", "Kiekis", "Kaina €"), ("Jūratė Žukauskienė", "Šiauliai", "Ąžuolas", "Klaipėda")),
    "ja": (("氏名", "都市", "数量", "価格"), ("山田太郎", "東京都", "佐藤花子", "大阪市")),
    "ko": (("이름", "도시", "수량", "가격"), ("김철수", "서울", "박영희", "부산")),
    "zh-Hans": (("姓名", "城市", "数量", "价格"), ("王小明", "北京", "李丽华", "上海")),
    "zh-Hant": (("姓名", "城市", "數量", "價格"), ("王小明", "臺北", "李麗華", "高雄")),
}
SIZES = ("short", "sentence", "paragraph", "long", "table")


class Sample(NamedTuple):
    """A text with the language, the encoding and the shape that it was made in."""

    language: str
    encoding: str
    shape: str
    text: str

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.text.encode(self.encoding)


def samples(*, held_out: bool) -> Iterator[Sample]:
    """Yield every language in all of its encodings and shapes; texts that an encoding cannot carry are left out."""
    for language, encodings in ENCODINGS.items():
        for encoding in (*encodings, *UNICODE):
            for shape in SIZES if encoding in encodings else SIZES[:2]:
                sample = Sample(language, encoding, shape, text_of(language, shape, held_out=held_out))
                if _carries(sample):
                    yield sample


def text_of(language: str, shape: str, *, held_out: bool) -> str:
    """Return a text of about 20 to 40 characters, of a sentence, of some, of several KB, or a table in CSV."""
    own = SENTENCES[language][4:] if held_out else SENTENCES[language][:4]
    if shape == "table":
        header, names = TABLES[language]
        one, two = names[2:] if held_out else names[:2]
        rows = (header, (one, two, "3", "1.234,50"), (two, one, "12", "0,99"))
        return "".join(";".join(row) + "\n" for row in rows)
    if shape == "paragraph":
        return " ".join(own) + "\n"
    if shape == "long":
        return "".join(f"{number}. {own[number % len(own)]}\n" for number in range(1, 81))
    return own[0] if shape == "short" else own[1] + "\n"


def _carries(sample: Sample) -> bool:
    try:
        return sample.data.decode(sample.encoding) == sample.text
    except UnicodeError:
        return False
