"""What a question asks for, told from its words in English and Chinese; any other is an open one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_IGNORED = re.IGNORECASE | re.VERBOSE
_POLITE = (
    r"(?:(?:please|kindly|hey|hi|hello|can\ you|could\ you|would\ you|i\ want\ (?:you\ )?to|i'd\ like\ to"
    r"|请你?|麻烦你?|帮我|給我|给我)[\s,，]*)*"
)
_DOCUMENT = r"(?:document|file|text|pdf|paper|report|article|page|book|letter|contract|agreement|manual|transcript)"
_SUMMARY = re.compile(
    rf"""(?:^|(?<=[?.!]\s))\s*{_POLITE}(?:summari[sz]e|sum\ up|recap
      |(?:(?:give|write|show|make)\ (?:me\ )?)?(?:an?\ |the\ )?(?:short\ |brief\ |quick\ |concise\ )?
        (?:summary|overview|outline|abstract|gist|main\ points|key\ points|key\ takeaways)\b(?:\ (?:of|about|on|from))?
      |what(?:'s|\ is|\ are)\ (?:this|the|that)\ (?:\S+\ )?{_DOCUMENT}s?\ about
      |what\ (?:does|do)\ (?:this|the|that)\ (?:\S+\ )?{_DOCUMENT}\ (?:say|contain)(?=\W*$)
      |tl;?dr)
    |总结|總結|概括|概述|摘要|归纳|歸納|(?:主要|核心)(?:内容|內容|观点|要点)|大意|(?:讲|说|写|講|說|寫)了(?:些)?(?:什么|什麼|啥)""",
    _IGNORED,
)
_COMPARED = (
    re.compile(r"differen\w*\s+(?:\w+\s+)?between\s+(?P<a>.+?)\s+and\s+(?P<b>.+?)\s*[?.!]*$", _IGNORED),
    re.compile(
        r"\bcompar\w*\s+(?:of\s+|between\s+)?(?P<a>.+?)\s+(?:with|to|and|against)\s+(?P<b>.+?)\s*[?.!]*$", _IGNORED
    ),
    re.compile(r"^\s*(?:what\s+about\s+)?(?P<a>\S.*?)\s+(?:vs\.?|versus)\s+(?P<b>.+?)\s*[?.!]*$", _IGNORED),
    re.compile(r"how\s+do(?:es)?\s+(?P<a>.+?)\s+differ\s+from\s+(?P<b>.+?)\s*[?.!]*$", _IGNORED),
    re.compile(
        r"(?:which|what|who)\b[^,，]*\b(?:\w+er|more\s+\w+|less\s+\w+|better|worse)\b[^,，:]*[,，:]\s*(?P<a>.+?)\s+or\s+(?P<b>.+?)\s*[?.!]*$",
        _IGNORED,
    ),
    re.compile(
        r"(?:请|比较|比較|对比|對比|说明|，|^)*\s*(?P<a>[^，。？]{1,30}?)\s*(?:和|与|與|跟|同|以及)\s*(?P<b>[^，。？]{1,30}?)\s*(?:之间|之間)?"
        r"(?:有|的)?(?:什么|什麼|何|哪些)?(?:区别|區別|不同|差别|差別|差异|差異|相比)",
        _IGNORED,
    ),
    re.compile(
        r"(?:比较|比較|对比|對比)(?:一下)?\s*(?P<a>[^，。？]{1,30}?)\s*(?:和|与|與|跟|同)\s*(?P<b>[^，。？]{1,30})",
        _IGNORED,
    ),
)
_LISTING = re.compile(
    rf"""^\s*{_POLITE}(?:(?:list|enumerate)\b|(?:name|show|tell|give)\ (?:me\ )?(?:all|every|a\ (?:full\ )?list)\b
      |(?:what|which)\ (?P<kind>[^?]{{3,60}}?)\ (?:are|is)\ there\b)
    |列出|列举|列舉|列一下|有哪些|有哪几|有哪幾|都有(?:什么|什麼|谁|誰)|(?:所有|全部)(?:的)?.{{1,20}}(?:是什么|是多少|清单|列表)""",
    _IGNORED,
)
_CALCULATION = re.compile(
    r"""\b(?:in\ total|altogether|all\ together|in\ all|overall\ (?:sum|number)|total\ (?:number|amount|sum)\ of
      |the\ sum\ of|on\ average|average|mean\ of|median
      |add\ up|count\ (?:the|all|how)|what\ percentage|how\ many\ times\ (?:more|as))\b
    |一共|总共|總共|共有(?:多少|几|幾)|加起来|加起來|总和|總和|平均|百分之几""",
    _IGNORED,
)
_DECISION = re.compile(
    r"""^\s*(?:and\ |but\ |so\ )?
      (?:is|are|was|were|do|does|did|can|could|may|might|must|should|shall|will|would|has|have|had|am|isn't|aren't|don't|doesn't|can't)\b(?!.*\b(?:what|which|how|why|when|where|who)\b)(?!.*\bor\b)
    |(?:吗|嗎|(?<![什甚怎那这多])么)\s*[?？。]*$|是否|能不能|可不可以|是不是|有没有|有沒有|可否|能否|会不会|會不會|要不要""",
    _IGNORED,
)
_ORDER = re.compile(r"^\s*(?:can|could|would|will)\ you\b", re.IGNORECASE)
# What is left of "Summarise this document for me" names nothing.
_NO_SUBJECT = re.compile(
    r"""\b(?:this|that|the|these|those|my|our|your|a|an|of|for|me|us|in|on|about|from|with|please|short|brief|few|some
      |sentences?|words?|lines?|points?|bullet|one|two|three|five|whole|entire|all|uploaded|attached|above|contents?
      |what|is|are|does|say|documents?|files?|texts?|pdfs?)\b
    |这份|这个|这篇|这本|该|本|這份|這個|文件|文档|文檔|文章|资料|資料|内容|內容|请|一下|全文|的|[\s\W]+""",
    _IGNORED,
)
_NAMED_BY_KIND = re.compile(
    r"\b(?:report|article|book|letter|contract|agreement|manual|transcript|minutes|policy|invoice|handbook)s?\b"
    r"|合同|手册|报告|政策|发票|会议纪要|指南",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"\b(?:all|every|of|the|a|full|list|me|please|there|are|is)\b|所有的?|全部的?|一下|请|列出|列举|有哪些", _IGNORED
)


# Words that a question has because it is one: they name nothing that a document would have to say.
ASKING = frozenset(
    re.findall(
        r"\S+",
        "a an the and or of in on at to for from by with as is are was were be been am do does did has have had "
        "can could "
        "will would shall should may might must what when where which who whom whose why how much many long "
        "often i you we "
        "it they me my our your this that there here any some about if so please tell show shown say says mean means "
        "happen happens get need use used give take takes",
    )
)
_ASKING_UNSPACED = re.compile(
    r"什么时候|什麼時候|什么|什麼|多少|多久|怎么样|怎么|怎麼|如何|为什么|為什麼|哪里|哪裡|哪个|哪些|哪|请问|請問"
    r"|吗|嗎|呢|是|的|了|有|几|幾|应该|應該|可以|意思"
)


class QuestionKind(StrEnum):
    """What is asked for."""

    OPEN = "open"
    SUMMARY = "summary"
    LISTING = "listing"
    COMPARISON = "comparison"
    DECISION = "decision"
    CALCULATION = "calculation"


@dataclass(frozen=True, slots=True)
class Understood:
    """A question's kind; `subject` is what is to be summarised or listed, `sides` are what is compared."""

    kind: QuestionKind
    subject: str = ""
    sides: tuple[str, ...] = ()


def understand(question: str) -> Understood:
    """Return what a question asks for."""
    summary = _SUMMARY.search(question)
    if summary:
        rest = f"{question[: summary.start()]} {question[summary.end() :]}"
        if not _NO_SUBJECT.sub("", rest):
            rest = " ".join(_NAMED_BY_KIND.findall(question))
        return Understood(QuestionKind.SUMMARY, " ".join(rest.split()))
    for pattern in _COMPARED:
        if found := pattern.search(question):
            return Understood(QuestionKind.COMPARISON, sides=(_side(found["a"]), _side(found["b"])))
    if _CALCULATION.search(question):
        return Understood(QuestionKind.CALCULATION)
    listing = _LISTING.search(question)
    if listing:
        named = listing.groupdict().get("kind") or ""
        rest = f"{question[: listing.start()]} {named} {question[listing.end() :]}"
        subject = " ".join(_ALL.sub(" ", rest).split()).strip("?？。. ")
        return Understood(QuestionKind.LISTING if subject else QuestionKind.OPEN, subject)
    if _DECISION.search(question) and not _ORDER.match(question):
        return Understood(QuestionKind.DECISION)
    return Understood(QuestionKind.OPEN)


def _side(text: str) -> str:
    return re.sub(r"^(?:the|a|an)\s+", "", text.strip(" \"'“”‘’「」"), flags=re.IGNORECASE)


def content(question: str) -> str:
    """Return a question without the words that it has because it is one; "" where that leaves nothing."""
    words = [word for word in _WORD.findall(question) if word.casefold() not in ASKING]
    return _ASKING_UNSPACED.sub(" ", " ".join(words)).strip()


_WORD = re.compile(r"[^\s?？。！,，;；:：]+")
