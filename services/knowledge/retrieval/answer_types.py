"""What form the answer to a question has, told from its words: an amount, a time, a duration, a weight, a number."""

from __future__ import annotations

import re

_NUMBER = (
    r"(?:\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty"
    r"|hundred|thousand|million|half|once|twice|no|none|several|every|each|daily|weekly|monthly|yearly|annually)\b"
    r"|[一二两三四五六七八九十百千万半每几])"
)
_TIME_UNIT = (
    r"(?:(?:second|minute|min|hour|h|day|night|week|month|year|decade|centur(?:y|ies)|working\s+day)s?\b"
    r"|秒|分钟|分鐘|小时|小時|个?月|天|日|周|週|星期|年)"
)
_DURATION = (
    (
        r"\bhow\s+(?:long|often|frequently|soon)\b|\bhow\s+many\s+(?:seconds|minutes|hours|days|weeks|months|years)\b"
        r"|多久|多长时间|多長時間|几天|几个月|几年"
    ),
    rf"{_NUMBER}[^.。;]{{0,12}}?{_TIME_UNIT}|\b(?:daily|weekly|monthly|yearly|always|never)\b",
)
_TIME = (
    (
        r"\bwhen\b|\bwhat\s+(?:time|date|day|year)\b|\bwhich\s+(?:day|date|year|month)\b"
        r"|什么时候|什麼時候|何时|何時|几点|幾點|几号|哪天|哪一?年|日期"
    ),
    (
        r"\b\d{1,2}[:.]\d\d\b|\b(?:1\d|20)\d\d\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day"
        r"|\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b"
        r"|\d\s*(?:am|pm|st|nd|rd|th)\b|\b(?:noon|midnight|morning|evening|century|before|after|until)\b"
        r"|[\d一二三四五六七八九十]+\s*[年月日号點点时時]|星期|周[一二三四五六日]|世纪"
    ),
)
_MONEY = (
    (
        r"\bhow\s+(?:much|expensive)\b|\b(?:price|costs?|fee|fare|rent|deposit|salary|wage|fine|surcharge)\b"
        r"|多少钱|多少錢|价格|價格|费用|費用|租金|押金"
    ),
    r"[$€£¥]|\b(?:eur|usd|gbp|chf|cny|rmb|euros?|dollars?|pounds?|cents?|percent)\b|[元块]|\bfree\b|免费|\d",
)
_WEIGHT = (
    r"\bhow\s+heavy\b|\bweigh|\bweight\b|多重|重量",
    r"\d\s*(?:kg|g|lb|lbs|t|tons?|tonnes?|pounds|克|公斤|千克|斤|吨)(?![a-z])",
)
_TEMPERATURE = (r"\btemperature\b|\bhow\s+(?:hot|cold|warm)\b|温度|溫度", r"\d\s*(?:°|degrees|摄氏|度)")
_AMOUNT = (
    (
        r"\bhow\s+(?:many|far|large|big|tall|high|deep|wide|old|fast|loud|thick|strong)\b|\b(?:total|number)\s+of\b"
        r"|\bwhat\s+(?:number|percentage|share|size|total|amount)\b|多少|几[个名项种次位]|多大|多高|多远|多快|总[额计数]"
    ),
    _NUMBER,
)
_FORMS = tuple(
    (re.compile(asked, re.IGNORECASE), re.compile(form, re.IGNORECASE))
    for asked, form in (_DURATION, _TIME, _MONEY, _WEIGHT, _TEMPERATURE, _AMOUNT)
)


def answer_form(question: str) -> re.Pattern[str] | None:
    """Return the pattern of what answers a question, None where it may be anything."""
    return next((form for asked, form in _FORMS if asked.search(question)), None)


def asks_how(question: str) -> bool:
    """Return whether a question asks for what is to be done."""
    return _HOW.search(question) is not None


_HOW = re.compile(
    r"\bhow\s+(?:do|can|should|must|could)\s+(?:i|we|you|one)\b|\bhow\s+to\b|\bwhat\s+(?:are\s+the\s+steps|must\s+i\s+do)\b"
    r"|如何|怎么|怎麼|怎样|怎樣|步骤|步驟",
    re.IGNORECASE,
)
