"""The language of a text, as far as stems need it: by script, and by function words where several share a script.

Only what has a stemmer (`services.knowledge.text.stems`) is told apart, and what would be mistaken for it. A passage
has the one or two languages that speak for it clearly, in each of its scripts, or none; a question, which is short,
has all that may be meant.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from services.knowledge.text.folding import fold

# Words without accents, as `fold` leaves them, that are frequent in a language and in few others. Those after the bar
# of languages that have no stemmer, or another's: what is theirs is nobody else's.
_FUNCTION_WORDS = {
    "latin": """
eu: eta da du ez bat dira izan zen zuen bere ere dute baina hau edo egin beste dela den ziren zer nor noiz non zein
    nola
ca: el la els les l d de del que i en un una per amb es no al als dels va ser han com mes aquest aquesta quan qui
    quina on
cs: a se na je v ze to s z do i o k za jako ktery ktera ktere byl byla bylo jsou nebo pro jeho od po kdo kdy kde jak
    co
da: og i at det er en den til af de som med for ikke et der var har blev eller ogsa fra hvad hvem hvornar hvor hvilken
nl: de het een en van in is dat op te zijn met voor niet aan door ook er werd wordt bij naar wat wie wanneer waar
    welke hoe
en: the of and to in is was that for it as with on by are be this from which were or at has an what who when where
    how did does
eo: la de kaj en estas al ne por kun ke pri estis kiu kiuj kio kiel kie kiam el sed tio tiu ili gi lia au oni
et: ja on ei et see oli kui mis ka voi oma aga ning mida kes tema kus millal kuidas selle need pole olid milline
fi: ja on ei se oli etta kun mutta myos han joka sen ovat tai kuin mika mita kuka missa milloin miten jotka olivat
    sita mukaan
fr: le la les l d qu de des et un une est du que qui dans en pour par sur au aux pas plus sont avec ce il elle ou
    quel quelle quand comment
de: der die und das in von zu den des mit ist im dem nicht ein eine auf als auch es an werden aus wird bei wie wer was
    wann wo welche
hu: a az es hogy nem is egy volt van meg ez azt de mint vagy el csak mar ki mi mikor hol melyik milyen hogyan voltak
id: yang dan di dari untuk dengan pada ini itu dalam adalah tidak akan oleh ke sebagai juga atau telah apa siapa
    kapan mana bagaimana bahwa mereka
ga: agus an na ar is i le de do go ag a bhi ta nach se ach mar bhfuil raibh cad cathain conas
it: di che il la l dell e in un una per del della non sono con da si le al dei nel come anche alla piu ha chi quando
    dove quale cosa gli
lt: ir kad yra buvo su tai i is kaip bet ar jo del nuo po kuris kurie taip pat arba kas kada kur kokia
no: og i det er pa en som til av for med at de den har ikke var et fra om ble eller ogsa hva hvem nar hvor hvilken
    hvordan
pl: i w na z sie do nie jest to ze o jak od po za przez dla jego byl byla sa oraz ktory ktora ktore co kto kiedy
    gdzie jaki jaka czy
pt: de que o a e do da em um uma para com nao os no na por as dos mais ao foi como das quem quando onde qual pelo
    sao ele
ro: de si in la cu a pe din care este un o sa nu ca pentru au fost mai sau prin ale ce cine cand unde cum lui sunt
    dupa
sr: i je u se na da su za od sa kao koji koja koje nije bi ili ali iz do bio bila sto ko kada gde gdje kako li samo
st: le la ya ba ho ka ke e o ha di tsa wa sa mo hore tse ne feela empa mang neng kae eng
es: de la que el en y los se del las un por con no una su para es al lo como mas fue son quien cuando donde cual
    cuales hasta
sv: och i att det som en pa ar av for med den till ett inte har de var om fran eller vad vem nar var vilken hur blev
    ocksa
tr: ve bir bu da de nedir kimdir icin ile olarak olan ne cok daha gibi kadar sonra ise o en mi hangi nasil nerede kim
    zaman kac
    degil olan
|
vi: la va cua cac cho mot co trong khong nhung duoc voi nguoi den nay khi tu tai gi ai nao dau bao nhieu
sk: a sa na je v ze to s z do aj o k za ako ktory ktora ktore bol bola bolo su alebo pre jeho od po kto kedy kde co
sl: in je v na se da za so ki pa z ne kot od po bi bil bila tudi ali pri kdo kdaj kje kako kaj
lv: un ir ka no ar par bet ari pie vai kas lai tas uz bija nav kad kur ka vina
sq: dhe te ne e i per nga nje me si qe ka eshte u ku do kush kur pse jane
is: og ad i er sem a til vid um en af fyrir med ekki var thad hann hvad hver hvenaer hvar
cy: y yr yn i a ar o mae ei wedi am gan oedd fel hyn beth pwy pryd ble
sw: ya wa na kwa ni katika za la kuwa hii cha yake au nini nani lini wapi
tl: ang ng sa na mga at ay si ito hindi ano sino kailan saan para
af: die en van in is het n nie wat te vir met dat hy sy op aan ook word wie wanneer waar
la: et in est non ad cum ut sed quod qui quae ex per sunt aut quis ubi
gl: de que o a e do da en un unha para con non os no na por as dos mais ao foi como das cando onde quen pola
""",
    "cyrillic": """
ru: и в не на что с он как это по из к но от для его а был была было или также при они кто когда где какой почему чем
sr: и је у се на да су за од са као који која које није би или али из до био била што ко када где како
|
uk: і в не на що з він як це та до у але від для його а був була або також при вони хто коли де який чому є
bg: и в не на че с той как това по от за но е са се да или също при кой кога къде какъв защо което беше
mk: и во не на што со тој како ова од за но е се да или исто кој кога каде зошто беше
be: і ў не на што з ён як гэта па да але ад для яго а быў была або таксама хто калі дзе які чаму
kk: және мен бұл үшін бар деп да де емес болып не кім қашан қайда қалай
mn: нь ба энэ бол юм байна гэж хэн хэзээ хаана ямар
""",
    "arabic": """
ar: في من على الي ان التي الذي عن مع هذا هذه كان ما لا كانت او بعد قد متي اين كيف هل ماذا هو هي ذلك
fa: و در به از كه اين را با است براي ان يك تا بر خود شد مي هم بود چه كي كجا چگونه هاي شده
|
ur: كے ميں كي ہے اور سے كا كو اس كه ہيں پر نے يه كيا ايک كب كہاں كون تها بهي نہيں
ps: د په او چي ته كي له دي يي هم نه دا سره شوي
ku: له و بو به كه ئهم ئهو لهسهر چي كهي
""",
    "devanagari": """
hi: के में की है और से का को हे कि पर यह ने एक हैं था थी लिए किया क्या कौन कब कहां कैसे नहीं भी कहाँ
ne: र को मा छ लाई पनि यो हो थियो गर्न भएको हुन्छ ले छन् गरेको के कसले कहिले कहाँ कसरी
|
mr: आहे आणि या हे च्या मध्ये होते ते व नाही होती त्यांनी काय कोण कधी कुठे करण्यात
sa: च एव इति तु हि न तत्र अपि सः तथा
""",
    "hebrew": """
yi: און די דער אין איז פון צו מיט א דאס נישט זיך האט ווי וואס ווען וווּ וועלכע אויף
|
he: של את על הוא לא היא זה עם גם או כי אם היה מי מתי איפה מה איך אשר
""",
}
_ONLY = {"greek": "el", "armenian": "hy", "tamil": "ta"}  # languages that are alone with their script
# Letters with accents, as they are written, of few languages: what speaks where a text has no function words.
_LETTERS = {
    "de": "äöüß",
    "sv": "åäö",
    "da": "æøå",
    "no": "æøå",
    "fi": "äö",
    "et": "õäöü",
    "hu": "őűáéíóúöü",
    "tr": "ğışçöü",
    "es": "ñáéíóú¿¡",
    "pt": "ãõçáéíóúâêô",
    "fr": "éèêàçùûîôœ",
    "it": "àèìòùé",
    "ca": "çàèéíïòóúü·",
    "ro": "ăâîșțşţ",
    "pl": "ąćęłńóśźż",
    "cs": "áčďéěíňóřšťúůýž",
    "sk": "áäčďéíĺľňóôŕšťúýž",
    "sr": "čćđšžђћџљњј",
    "sl": "čšž",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņšūž",
    "eo": "ĉĝĥĵŝŭ",
    "ga": "áéíóú",
    "is": "áðéíóúýþæö",
    "sq": "çë",
    "gl": "ñáéíóú",
    "vi": "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
    "uk": "іїєґ",
    "be": "ўі",
    "ru": "ыэъё",
    "mk": "ѓќѕјљњџ",
    "kk": "әғқңөұүһі",
    "mn": "өү",
    "fa": "پچژگ",
    "ur": "ٹڈڑںےہ",
    "ps": "ټډړښځڅې",
    "ku": "ێۆڕڵە",
    "ar": "ةىأإ",
}
# Scripts by the first letter of a word.
_SCRIPTS = re.compile(
    r"(?P<latin>[a-z\u00df-\u024f\u1e00-\u1eff])"
    r"|(?P<cyrillic>[\u0400-\u052f])"
    r"|(?P<arabic>[\u0620-\u06ff])"
    r"|(?P<devanagari>[\u0904-\u0939\u0958-\u097f])"
    r"|(?P<greek>[\u0370-\u03ff\u1f00-\u1fff])"
    r"|(?P<hebrew>[\u05d0-\u05f2])"
    r"|(?P<armenian>[\u0531-\u0587])"
    r"|(?P<tamil>[\u0b85-\u0bb9])"
)
# Of the evidence for the likeliest language, how much another one of a passage, and of a question, has.
_PASSAGE_SHARE, _QUESTION_SHARE = 0.7, 0.5
_MOST_OF_PASSAGE = 2
# Least evidence for a language: one word that hardly any other has.
_LEAST = 0.4
_LETTER_WEIGHT = 0.5


_LISTS = re.compile(r"(\w\w): ([^:]+)(?=\n\w\w:|\s*$)")
_Weighed = dict[str, tuple[tuple[str, ...], float]]


def _weighed(entries: Iterable[tuple[str, Iterable[str]]]) -> _Weighed:
    """Return by word, or letter, the languages that have it and what it says for each: less, the more they are."""
    known: dict[str, list[str]] = defaultdict(list)
    for language, words in entries:
        for word in dict.fromkeys(words):
            known[word].append(language)
    return {word: (tuple(languages), 1 / len(languages)) for word, languages in known.items()}


def _read() -> tuple[dict[str, _Weighed], dict[str, tuple[str, ...]]]:
    """Return by script its function words, and the languages that have a stemmer."""
    words: dict[str, _Weighed] = {script: {} for script in _ONLY}
    stemmed: dict[str, tuple[str, ...]] = {script: (language,) for script, language in _ONLY.items()}
    for script, lists in _FUNCTION_WORDS.items():
        with_stemmer, _bar, others = map(_LISTS.findall, lists.partition("|"))
        words[script] = _weighed((language, fold(text).split()) for language, text in (*with_stemmer, *others))
        stemmed[script] = tuple(language for language, _text in with_stemmer)
    return words, stemmed


_WORDS, STEMMED = _read()
_WEIGHED_LETTERS = _weighed(_LETTERS.items())
_MARKED = re.compile(f"[{''.join(_WEIGHED_LETTERS)}]")


def script_of_word(word: str) -> str:
    """Return the script of a word in small letters by its first one, "" for scripts without a stemmer."""
    found = _SCRIPTS.match(word)
    return (found.lastgroup or "") if found else ""


def is_function_word(folded: str, language: str) -> bool:
    """Return whether a word is one of those that tell a language, and of this one."""
    known = _WORDS.get(script_of_word(folded), {}).get(folded)
    return known is not None and language in known[0]


def of_passage(words: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return by script the languages of a passage: one, two that are alike, or none where nothing decides.

    `words`: each of its words in small letters, with accents, and folded.
    """
    return {
        script: STEMMED[script]
        if script in _ONLY
        else _with_stemmer(_likely(evidence, _PASSAGE_SHARE)[:_MOST_OF_PASSAGE], script)
        for script, evidence in _evidence(words).items()
    }


def of_question(words: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return by script the languages that a question may be in: all there are where nothing decides."""
    return {
        script: _with_stemmer(likely, script) if (likely := _likely(evidence, _QUESTION_SHARE)) else STEMMED[script]
        for script, evidence in _evidence(words).items()
    }


def _with_stemmer(languages: Iterable[str], script: str) -> tuple[str, ...]:
    return tuple(language for language in languages if language in STEMMED[script])


def _evidence(words: Iterable[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """Return by script how much speaks for each language; scripts without words are left out."""
    evidence: dict[str, dict[str, float]] = {}
    for word, folded in words:
        script = script_of_word(word)
        if not script:
            continue
        scores = evidence.setdefault(script, defaultdict(float))
        if (known := _WORDS[script].get(folded)) is not None:
            for language in known[0]:
                scores[language] += known[1]
        if not word.isascii():
            for letter in set(_MARKED.findall(word)):
                languages, weight = _WEIGHED_LETTERS[letter]
                for language in languages:
                    scores[language] += weight * _LETTER_WEIGHT
    return evidence


def _likely(evidence: Mapping[str, float], share: float) -> tuple[str, ...]:
    if not evidence:
        return ()
    most = max(evidence.values())
    if most < _LEAST:
        return ()
    ranked = sorted(evidence, key=lambda language: -evidence[language])
    return tuple(language for language in ranked if evidence[language] >= share * most)
