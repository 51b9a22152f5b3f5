"""Questions find other forms of their words, each language in one library with all the others, by words alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.actor import SERVICE
from services.knowledge.retrieval import Retriever
from tests.knowledge.encoders import Multilingual
from tests.knowledge.stores import IndexedStore

# By language two documents, each with a question that has its words in other forms.
CASES = {
    "en": [
        ("The committee rejected the applications of the villagers.", "Who is rejecting an application?"),
        ("The bridges are inspected by the engineer when the river is low.", "When is the inspecting done?"),
    ],
    "de": [
        ("Die Kündigungen der Verträge wurden beim Amt eingereicht.", "Was gilt für die Kündigung eines Vertrags?"),
        ("Die Brücken überspannen den Fluss und werden im Frühjahr geprüft.", "Wie alt ist die Brücke?"),
    ],
    "fr": [
        ("Les pêcheurs réparaient les filets dans le port.", "Qui répare un filet ?"),
        ("Les chevaux galopaient dans la prairie avec le berger.", "Quand est-ce que tout galope ?"),
    ],
    "es": [
        ("Los inquilinos cancelaron sus contratos por escrito.", "¿Cómo se cancela un contrato?"),
        ("Los pescadores repararon las redes en el puerto.", "¿Quién reparaba la red?"),
    ],
    "it": [
        ("I pescatori riparavano le reti nel porto.", "Chi ripara la rete?"),
        ("Le domande furono respinte dalla commissione.", "Quale domanda è stata respinta?"),
    ],
    "pt": [
        ("Os pescadores consertaram as redes no porto.", "Quem conserta a rede?"),
        ("A comissão rejeitou as propostas dos moradores.", "Quando foi que rejeitaram isso?"),
    ],
    "ca": [
        ("Els pescadors cantaven a la vora del mar.", "Qui canta amb un pescador?"),
        ("La comissió va rebutjar les propostes dels veïns.", "Quan es rebutja això?"),
    ],
    "nl": [
        ("De bruggen worden in de lente gekeurd door een ingenieur.", "Hoe oud is de brug?"),
        ("De vissers herstelden het net in de haven.", "Wie is een visser?"),
    ],
    "sv": [
        ("Fiskarna lagade sina trasiga redskap och de var i hamnen.", "Hur lagar man något?"),
        ("Ansökningarna avslogs av nämnden, och det var inte fel.", "Vad är en ansökning?"),
    ],
    "da": [
        ("Fiskerne reparerede deres garn, og de blev i havnen.", "Hvem reparerer noget?"),
        ("Ansøgningerne blev afvist af udvalget.", "Hvad er en ansøgning?"),
    ],
    "no": [
        ("Fiskerne reparerte garnene på havna, men ikke alle.", "Hvem reparerer et garn?"),
        ("Søknadene ble avslått av utvalget.", "Hva er en søknad?"),
    ],
    "fi": [
        ("Kalastajat korjasivat verkot ja olivat sitten satamassa.", "Kuka korjasi verkon?"),
        ("Hakemukset on hylätty, mutta se ei ollut oikein.", "Mitä on tapahtunut hakemuksille?"),
    ],
    "hu": [
        ("A halászok a kikötőben javították a hálókat.", "Ki javította a hálót?"),
        ("A hidakat a mérnökök minden tavasszal vizsgálják.", "Mikor van tavasz?"),
    ],
    "tr": [
        ("Köprüler ve yollar her bahar denetlenir.", "Köprünün durumu nedir?"),
        ("Balıkçılar limanda ağları onardı ve bu iş için teknelerini bıraktı.", "Balıkçının teknesi nerede?"),
    ],
    "ro": [
        ("Pescarii au reparat plasele în port.", "Cine este pescarul?"),
        ("Contractele au fost anulate de chiriași.", "Cum se anulează un contract?"),
    ],
    "pl": [
        ("Rybacy naprawili podarte sieci w porcie.", "Kto naprawił tę sieć?"),
        ("Umowy zostały rozwiązane przez sąd, ale nie od razu.", "Co to jest umowa?"),
    ],
    "cs": [
        ("Rybáři v přístavu opravili roztrhané sítě.", "Kde rybář žije?"),
        ("Smlouvy byly zrušeny a soud je v tom nepodpořil.", "Co je to smlouva?"),
    ],
    "et": [
        ("Kalurid parandasid võrgud ja see oli sadamas.", "Kes parandas?"),
        ("Taotlused ei ole veel läbi vaadatud, kuid see on selge.", "Mis on taotlus?"),
    ],
    "lt": [
        ("Žvejai uoste taisė tinklus ir buvo ten iki vakaro.", "Kas yra žvejas?"),
        ("Prašymai buvo atmesti komisijos.", "Kas yra prašymas?"),
    ],
    "id": [
        ("Surat itu dikirimkan dari kantor pos dengan kapal.", "Kapan kirim?"),
        ("Jembatan yang rusak itu diperbaiki oleh para tukang.", "Apa itu perbaikan?"),
    ],
    "ru": [
        ("Рыбаки починили порванные сети в гавани.", "Где рыбак и его сеть?"),
        ("Арендаторы письменно расторгли договоры и это был конец.", "Что делает арендатор с договором?"),
    ],
    "sr": [
        ("Рибари су поправили поцепане мреже у луци.", "Где је мрежа?"),
        ("Komisija je odbila zahteve seljana koji su iz tog sela.", "Ko je podneo zahtev?"),
    ],
    "el": [
        ("Οι ψαράδες επισκεύασαν τα δίχτυα στο λιμάνι.", "Πού είναι τα λιμάνια;"),
        ("Οι αιτήσεις απορρίφθηκαν από την επιτροπή.", "Τι είναι μια αίτηση;"),
    ],
    "ar": [
        ("أصلح الصيادون الشباك في الميناء.", "اين الصياد؟"),
        ("رفضت اللجنة ما كان من الناس.", "متى رفضوا ذلك؟"),
    ],
    "fa": [
        ("تورهای پاره را در بندر دوختند.", "تور کجا بود؟"),
        ("کمیسیون درخواست‌های مردم را رد کرد.", "درخواست چه بود؟"),
    ],
    "hi": [
        ("मछुआरों ने बंदरगाह पर जालों की मरम्मत की।", "मछुआरा कौन है?"),
        ("समिति ने गांववालों की अर्जियां ठुकरा दीं।", "अर्जी क्या है?"),
    ],
    "hy": [
        ("Ձկնորսները նավահանգստում նորոգեցին ցանցերը։", "Ինչպես են նորոգում"),
        ("Հանձնաժողովը մերժեց դիմումները։", "Ինչ է դիմումը"),
    ],
    "th": [("ชาวประมงซ่อมอวนที่ท่าเรือ", "ใครซ่อมอวน"), ("คณะกรรมการปฏิเสธคำขอของชาวบ้าน", "คำขอถูกปฏิเสธเมื่อไร")],
    "lo": [("ຊາວປະມົງສ້ອມແຫຢູ່ທ່າເຮືອ", "ໃຜສ້ອມແຫ"), ("ຄະນະກຳມະການປະຕິເສດຄຳຮ້ອງ", "ຄຳຮ້ອງຖືກປະຕິເສດບໍ")],
    "km": [("អ្នកនេសាទជួសជុលសំណាញ់នៅកំពង់ផែ", "តើអ្នកណាជួសជុលសំណាញ់"), ("គណៈកម្មការបដិសេធពាក្យសុំ", "ហេតុអ្វីពាក្យសុំត្រូវបានបដិសេធ")],
    "my": [("တံငါသည်များသည်ဆိပ်ကမ်းတွင်ပိုက်ကွန်ပြင်သည်", "ပိုက်ကွန်ကိုဘယ်သူပြင်သလဲ"), ("ကော်မတီကလျှောက်လွှာကိုငြင်းပယ်သည်", "လျှောက်လွှာဘာကြောင့်ငြင်းပယ်သလဲ")],
    "ja": [
        ("漁師は港で破れた網を直した。", "網を直すのは誰ですか"),
        ("委員会は住民の申請を却下した。", "申請はなぜ却下されましたか"),
    ],
    "ko": [
        ("어부들은 항구에서 그물을 고쳤다.", "그물이 찢어지면 누가 고치나요?"),
        ("위원회는 주민의 신청을 거절했다.", "신청이 왜 거절되었나요?"),
    ],
    "zh": [("渔民在港口修补渔网。", "谁修补渔网？"), ("委员会驳回了村民的申请。", "申请为什么被驳回？")],
}


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    store = IndexedStore(Path(tmp_path_factory.mktemp("forms")), Multilingual())
    for language, cases in CASES.items():
        for number, (document, _question) in enumerate(cases):
            store.add(f"{language} {number}", [document])
    yield Retriever(store.database, store.chunks, None, None)
    store.close()


@pytest.mark.parametrize("language", CASES)
def test_other_forms_are_found(retriever: Retriever, language: str) -> None:
    """Case endings, plurals, conjugations and particles: the right one of a language's documents."""
    for number, (_document, question) in enumerate(CASES[language]):
        hits = retriever.search(SERVICE, question, k=2 * len(CASES)).hits
        own = [hit.document for hit in hits if hit.document.startswith(f"{language} ")]
        assert own[:1] == [f"{language} {number}"], question
