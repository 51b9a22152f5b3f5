"""The same four facts in languages of many scripts, each as a question and as a statement that answers it.

What an embedder makes of them tells what its cosines mean (`cosine_scale`). The facts have nothing to do with each
other, so that a question and the statement of another fact are as unrelated as texts are.
"""

from __future__ import annotations

# By script as `language_trust.script_of` names it; Latin letters serve several languages.
QUESTIONS_AND_STATEMENTS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "LATIN",
        (
            ("When does the library close on Sundays?", "On Sundays the library closes at two in the afternoon."),
            ("How must the vaccine be stored?", "The vaccine is kept in a refrigerator between two and eight degrees."),
            ("Who won the football match?", "The home team won the football match by three goals to one."),
            ("What do bees live on in winter?", "In winter bees live on the honey that they gathered in summer."),
        ),
    ),
    (
        "LATIN",
        (
            ("Wann schließt die Bibliothek am Sonntag?", "Am Sonntag schließt die Bibliothek um zwei Uhr nachmittags."),
            (
                "Wie muss der Impfstoff gelagert werden?",
                "Der Impfstoff wird im Kühlschrank bei zwei bis acht Grad aufbewahrt.",
            ),
            (
                "Wer hat das Fußballspiel gewonnen?",
                "Die Heimmannschaft hat das Fußballspiel mit drei zu eins gewonnen.",
            ),
            (
                "Wovon leben Bienen im Winter?",
                "Im Winter leben Bienen von dem Honig, den sie im Sommer gesammelt haben.",
            ),
        ),
    ),
    (
        "LATIN",
        (
            ("Thư viện đóng cửa lúc mấy giờ vào Chủ nhật?", "Vào Chủ nhật, thư viện đóng cửa lúc hai giờ chiều."),
            ("Vắc-xin phải được bảo quản như thế nào?", "Vắc-xin được giữ trong tủ lạnh từ hai đến tám độ."),
            ("Ai đã thắng trận bóng đá?", "Đội chủ nhà đã thắng trận bóng đá với tỷ số ba một."),
            ("Ong sống bằng gì vào mùa đông?", "Vào mùa đông, ong sống bằng mật đã thu được trong mùa hè."),
        ),
    ),
    (
        "CYRILLIC",
        (
            ("Когда библиотека закрывается по воскресеньям?", "По воскресеньям библиотека закрывается в два часа дня."),
            ("Как нужно хранить вакцину?", "Вакцину хранят в холодильнике при температуре от двух до восьми градусов."),
            ("Кто выиграл футбольный матч?", "Хозяева поля выиграли футбольный матч со счётом три к одному."),
            ("Чем питаются пчёлы зимой?", "Зимой пчёлы питаются мёдом, который собрали летом."),
        ),
    ),
    (
        "GREEK",
        (
            ("Πότε κλείνει η βιβλιοθήκη τις Κυριακές;", "Τις Κυριακές η βιβλιοθήκη κλείνει στις δύο το μεσημέρι."),
            ("Πώς πρέπει να φυλάσσεται το εμβόλιο;", "Το εμβόλιο φυλάσσεται στο ψυγείο από δύο έως οκτώ βαθμούς."),
            ("Ποιος κέρδισε τον ποδοσφαιρικό αγώνα;", "Η γηπεδούχος ομάδα κέρδισε τον ποδοσφαιρικό αγώνα με τρία ένα."),
            (
                "Με τι τρέφονται οι μέλισσες τον χειμώνα;",
                "Τον χειμώνα οι μέλισσες τρέφονται με το μέλι του καλοκαιριού.",
            ),
        ),
    ),
    (
        "HEBREW",
        (
            ("מתי הספרייה נסגרת בימי ראשון?", "בימי ראשון הספרייה נסגרת בשתיים אחר הצהריים."),
            ("כיצד יש לאחסן את החיסון?", "את החיסון שומרים במקרר בין שתיים לשמונה מעלות."),
            ("מי ניצח במשחק הכדורגל?", "הקבוצה המארחת ניצחה במשחק הכדורגל שלוש אחת."),
            ("ממה ניזונות הדבורים בחורף?", "בחורף הדבורים ניזונות מהדבש שאספו בקיץ."),
        ),
    ),
    (
        "ARABIC",
        (
            ("متى تغلق المكتبة أيام الأحد؟", "تغلق المكتبة أيام الأحد في الساعة الثانية بعد الظهر."),
            ("كيف يجب تخزين اللقاح؟", "يحفظ اللقاح في الثلاجة بين درجتين وثماني درجات."),
            ("من فاز في مباراة كرة القدم؟", "فاز الفريق المضيف في مباراة كرة القدم بثلاثة أهداف مقابل هدف."),
            ("على ماذا يعيش النحل في الشتاء؟", "يعيش النحل في الشتاء على العسل الذي جمعه في الصيف."),
        ),
    ),
    (
        "DEVANAGARI",
        (
            ("रविवार को पुस्तकालय कब बंद होता है?", "रविवार को पुस्तकालय दोपहर दो बजे बंद होता है।"),
            ("टीके को कैसे रखना चाहिए?", "टीके को फ्रिज में दो से आठ डिग्री के बीच रखा जाता है।"),
            ("फुटबॉल मैच किसने जीता?", "मेज़बान टीम ने फुटबॉल मैच तीन-एक से जीता।"),
            ("सर्दियों में मधुमक्खियाँ क्या खाती हैं?", "सर्दियों में मधुमक्खियाँ गर्मियों में जमा किया शहद खाती हैं।"),
        ),
    ),
    (
        "THAI",
        (
            ("ห้องสมุดปิดกี่โมงในวันอาทิตย์", "ในวันอาทิตย์ห้องสมุดปิดตอนบ่ายสองโมง"),
            ("ต้องเก็บวัคซีนอย่างไร", "วัคซีนเก็บไว้ในตู้เย็นที่อุณหภูมิสองถึงแปดองศา"),
            ("ใครชนะการแข่งขันฟุตบอล", "ทีมเจ้าบ้านชนะการแข่งขันฟุตบอลสามต่อหนึ่ง"),
            ("ในฤดูหนาวผึ้งกินอะไร", "ในฤดูหนาวผึ้งกินน้ำผึ้งที่เก็บไว้ในฤดูร้อน"),
        ),
    ),
    (
        "HANGUL",
        (
            ("도서관은 일요일에 몇 시에 문을 닫나요?", "일요일에는 도서관이 오후 두 시에 문을 닫습니다."),
            ("백신은 어떻게 보관해야 하나요?", "백신은 냉장고에서 이 도에서 팔 도 사이로 보관합니다."),
            ("축구 경기는 누가 이겼나요?", "홈팀이 축구 경기에서 삼 대 일로 이겼습니다."),
            ("겨울에 벌은 무엇을 먹고 사나요?", "겨울에 벌은 여름에 모은 꿀을 먹고 삽니다."),
        ),
    ),
    (
        "HIRAGANA",
        (
            ("日曜日に図書館は何時に閉まりますか？", "日曜日は図書館が午後二時に閉まります。"),
            ("ワクチンはどのように保管しますか？", "ワクチンは冷蔵庫で二度から八度の間に保管します。"),
            ("サッカーの試合はどちらが勝ちましたか？", "サッカーの試合はホームチームが三対一で勝ちました。"),
            ("冬にミツバチは何を食べて生きますか？", "冬にミツバチは夏に集めた蜜を食べて生きます。"),
        ),
    ),
    (
        "CJK",
        (
            ("图书馆星期天几点关门？", "图书馆星期天下午两点关门。"),
            ("疫苗应该怎样保存？", "疫苗保存在二到八度的冰箱里。"),
            ("足球比赛谁赢了？", "主队以三比一赢得了足球比赛。"),
            ("蜜蜂冬天靠什么生活？", "蜜蜂冬天靠夏天采集的蜂蜜生活。"),
        ),
    ),
)
