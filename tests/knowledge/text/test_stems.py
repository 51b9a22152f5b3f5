from __future__ import annotations

import subprocess
import sys

import pytest

from services.knowledge.text.folding import fold
from services.knowledge.text.languages import of_passage, of_question
from services.knowledge.text.stems import question_stems, stem_terms
from services.knowledge.text.terms import terms


def pairs(text: str) -> list[tuple[str, str]]:
    return [(word, fold(word)) for word in text.casefold().replace(",", " ").replace(".", " ").split()]


# The first sentences of a letter, by language and script.
TEXTS = {
    ("en", "latin"): "The mill by the river was built in 1850, and it is still used for the grinding of wheat.",
    ("de", "latin"): "Die Mühle am Fluss wurde 1850 gebaut und wird noch heute für das Mahlen von Weizen genutzt.",
    ("fr", "latin"): "Le moulin au bord de la rivière a été construit en 1850 et il est encore utilisé pour le blé.",
    ("es", "latin"): "El molino junto al río fue construido en 1850 y todavía se usa para moler el trigo de la región.",
    ("pt", "latin"): "O moinho junto ao rio foi construído em 1850 e ainda não deixou de ser usado para o trigo.",
    ("it", "latin"): "Il mulino presso il fiume fu costruito nel 1850 ed è ancora usato per il grano della regione.",
    (
        "ca",
        "latin",
    ): "El molí de la vora del riu va ser construït l'any 1850 i encara es fa servir per al blat dels veïns.",
    (
        "nl",
        "latin",
    ): "De molen aan de rivier werd in 1850 gebouwd en wordt nog steeds gebruikt voor tarwe.",
    ("sv", "latin"): "Kvarnen vid floden byggdes år 1850 och den används fortfarande för att mala vete som inte säljs.",
    (
        "da",
        "latin",
    ): "Møllen ved floden blev bygget i 1850, og den bliver stadig brugt af dem, der har hvede.",
    ("fi", "latin"): "Joen rannalla oleva mylly on rakennettu vuonna 1850 ja se on yhä käytössä, mutta ei talvella.",
    ("et", "latin"): "Jõe ääres olev veski on ehitatud 1850. aastal ja see ei ole veel suletud, kuid talvel ei tööta.",
    ("hu", "latin"): "A folyó melletti malom 1850-ben épült, és még ma is használják, de csak az őszi hónapokban.",
    ("pl", "latin"): "Młyn nad rzeką został zbudowany w 1850 roku i jest do dziś używany przez rolników, ale nie zimą.",
    ("cs", "latin"): "Mlýn u řeky byl postaven v roce 1850 a je stále používán, protože se v něm mele pšenice.",
    ("ro", "latin"): "Moara de lângă râu a fost construită în 1850 și este încă folosită pentru grâul din regiune.",
    ("tr", "latin"): "Nehrin kıyısındaki değirmen 1850 yılında yapıldı ve bugün de buğday öğütmek için kullanılıyor.",
    ("lt", "latin"): "Malūnas prie upės buvo pastatytas 1850 metais ir yra naudojamas iki šiol, bet tik rudenį.",
    ("id", "latin"): "Kincir di tepi sungai itu dibangun pada tahun 1850 dan masih digunakan untuk gandum oleh petani.",
    ("eu", "latin"): "Ibai ondoko errota 1850ean eraiki zen eta oraindik ere erabiltzen da, baina ez neguan.",
    ("ga", "latin"): "Tógadh an muileann cois na habhann i 1850 agus tá sé fós in úsáid ag na feirmeoirí.",
    ("ru", "cyrillic"): "Мельница у реки была построена в 1850 году, и она до сих пор используется для помола.",
    ("sr", "cyrillic"): "Млин поред реке је саграђен 1850. године и још увек се користи за пшеницу из околине.",
    ("el", "greek"): "Ο μύλος δίπλα στο ποτάμι χτίστηκε το 1850 και λειτουργεί ακόμα.",
    ("ar", "arabic"): "بنيت الطاحونة على ضفة النهر في عام 1850 وما زالت تستخدم من قبل المزارعين الى اليوم.",
    ("fa", "arabic"): "آسیاب کنار رودخانه در سال ۱۸۵۰ ساخته شد و هنوز از آن برای گندم استفاده می‌شود که خوب است.",
    ("hi", "devanagari"): "नदी के किनारे की चक्की 1850 में बनी थी और आज भी गेहूं पीसने के लिए काम में आती है।",
    ("hy", "armenian"): "Գետի մոտ գտնվող ջրաղացը կառուցվել է 1850 թվականին։",
    ("ta", "tamil"): "ஆற்றங்கரையில் உள்ள ஆலை 1850 இல் கட்டப்பட்டது.",
}
# Languages without a stemmer, which must not be taken for others.
OTHERS = {
    "uk": "Млин біля річки був збудований у 1850 році, і він досі використовується для пшениці, але не взимку.",
    "bg": "Мелницата край реката е построена през 1850 година и все още се използва за пшеница, но не и през зимата.",
    "vi": "Cối xay bên bờ sông được xây vào năm 1850 và vẫn còn được dùng để xay lúa mì của vùng này.",
    "lv": "Dzirnavas pie upes tika uzceltas 1850. gadā, un tās joprojām izmanto, bet ne ziemā, jo ir par aukstu.",
    "he": "הטחנה שעל הנהר נבנתה בשנת 1850 והיא עדיין בשימוש של החקלאים, אבל לא בחורף.",
    "ur": "دریا کے کنارے کی چکی 1850 میں بنی تھی اور آج بھی گیہوں کے لیے استعمال ہوتی ہے۔",
    "mr": "नदीच्या काठावरची गिरणी १८५० मध्ये बांधली होती आणि ती आजही वापरात आहे.",
}


@pytest.mark.parametrize(("language", "script"), TEXTS)
def test_a_passage_is_known_by_its_function_words(language: str, script: str) -> None:
    """One sentence is enough for the right stemmer; at most one near relative has it, too."""
    found = of_passage(pairs(TEXTS[language, script]))[script]
    assert found[0] == language


@pytest.mark.parametrize("language", OTHERS)
def test_languages_without_a_stemmer_get_none_of_anothers(language: str) -> None:
    """Ukrainian is not stemmed as Russian, Vietnamese not as anything."""
    assert stem_terms(OTHERS[language]) == []


def test_a_question_may_be_in_several_languages() -> None:
    """A question that tells its language has that one; bare words may be of any language of their script."""
    assert of_question(pairs("wann wurde die mühle gebaut")) == {"latin": ("de",)}
    assert {"de", "en", "fi"} <= set(of_question(pairs("mietvertrag"))["latin"])
    assert set(of_question(pairs("мельница"))["cyrillic"]) == {"ru", "sr"}


def test_no_language_has_anothers_stems() -> None:
    """What a German question looks up is German, or the bare word; the stems of two languages never meet."""
    stems = question_stems("Wann wurde die Universität in der Stadt gegründet?")
    assert {each.partition("ː")[0] for found in stems.values() for each in found if "ː" in each} == {"de"}
    german = set(stem_terms("Die Arten sind in der Gegend nicht mehr zu finden, wie es in dem Bericht heißt."))
    english = {each for found in question_stems("What are the arts of the region?").values() for each in found}
    assert not german & english


def test_codes_names_of_programs_and_short_words_have_no_stem() -> None:
    """They are looked up as they are written; only the words of the sentence are stemmed."""
    text = "The values of parseHeaders, running_jobs, services.running, E-1042, v2.1b, NATO and 2026-03-09 are there."
    assert stem_terms(text) == ["enːvalu"]


def test_function_words_have_no_stem() -> None:
    """They would fill the index and say nothing."""
    assert stem_terms("which was where they were, and how does it what there is") == []


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The news of the kings was in the paper for a day.", "new king"),
        ("Die Wanne und die Wände sind in der Stadt.", "wann und wo warten wir"),
        ("The university was in the universe of the poet.", "the unit is in it"),
    ],
)
def test_short_words_are_not_mixed_up(text: str, question: str) -> None:
    """Words that only begin alike are different words."""
    stems = {each for found in question_stems(question).values() for each in found if "ː" in each}
    assert not stems & set(stem_terms(text))


def test_accents_and_style_of_a_stem_do_not_matter() -> None:
    """A question typed without accents, or with ue for ü, has the stem that the text has."""
    found = set(stem_terms("Die Kündigungen sind in der Frist und nicht zu spät."))
    for typed in ("Wie ist die Kündigung?", "wie ist die kundigung", "wie ist die Kuendigung"):
        assert {each for made in question_stems(typed).values() for each in made} & found


def test_serbian_is_one_language_in_two_scripts() -> None:
    """Its stems are in Latin letters, whichever the text is written in."""
    cyrillic = stem_terms("Рибари су у селу поправили мреже које је река поцепала.")
    latin = stem_terms("Ribari su u selu popravili mreže koje je reka pocepala.")
    assert set(cyrillic) & set(latin)


def test_words_of_the_place_count_once() -> None:
    """A heading's stem is found, and is not repeated where the text has the word."""
    text = "The sluices are checked in the spring and it is the miller who does that."
    assert "enːcancel" in stem_terms(text, "Cancellations")
    assert stem_terms(text, "The sluices").count("enːsluic") == 1


def test_terms_have_no_stems() -> None:
    """Quotes compare words; stems are for the index alone."""
    assert terms("The renewals of the leases") == ["the", "renewal", "of", "the", "lease"]


def test_import_is_light() -> None:
    """The stemmer's library is loaded with the first text, not before."""
    code = "import sys, services.knowledge.text.stems; print({'numpy', 'sqlalchemy', 'Stemmer'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
