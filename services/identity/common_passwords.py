"""Passwords that guessing programs try first, told by what they are made of.

A list of whole passwords would be long and have gaps; what is common of at least twelve characters is put together from
few pieces: words that people choose (English, pinyin), names of keyboards' rows, runs of digits, years, one piece again
and again. A password of which little is left when such pieces are taken out is common. The words are our own choice of
what published studies of leaked passwords count as frequent in both languages.
"""

from __future__ import annotations

import re
import unicodedata

_LONGEST_PIECE = 8  # that is repeated
_LEFT = 4  # so many characters that belong to no piece make a password uncommon

_ENGLISH = """
    abcdef access account admin administrator alexander amanda america andrea andrew angel angels anthony apple
    arsenal ashley asshole austin autumn babygirl banana baseball basketball batman beautiful bitch blessed
    blink buster butterfly cameron carlos changeme change charlie cheese chelsea chicken chocolate chris christ
    company computer cookie cooper corvette cowboy crystal daniel default demo diamond dolphin donald dragon
    eagle elizabeth family fender ferrari flower football forever freedom friend fuckyou garden george ginger
    google guest hannah hello hunter iloveyou internet jackson jasmine jennifer jessica jesus jordan joseph
    joshua justin killer letmein liverpool login london lovely loveme lover madison maggie manager market master
    matrix matthew maverick mercedes merlin michael michelle mickey millpond money monkey monster morgan mother
    mustang naruto nicole nothing office orange pass passw0rd passwd passphrase password patrick peanut pepper
    phoenix please pokemon princess private purple qazwsx qwerty rabbit rachel ranger richard robert root
    samantha samsung secret secure server service shadow silver soccer spider spring starwars steven summer
    sunshine superman support system taylor tennis test testing thomas thunder tigger trustno1 user vanessa
    victoria welcome whatever william winter winner wizard work yankees yellow zaq1zaq1 january february march
    april june july august september october november december monday tuesday wednesday thursday friday saturday
    sunday love baby star blue black white green red dog cat one two three four five six seven eight nine zero
    the you your my is and
"""
_CHINESE = """
    woaini aini woaiwojia woaiziji woaiwoziji woaibaba woaimama wobuaini wojiushiwo woshishui wangyut wangyong
    zhangwei wangwei wangfang liwei lina zhangmin lijing wangjing liuwei wangxiuying zhangli lixiuying wangli
    zhangjing lixiuzhen mima nihao nihaoma shijie zhongguo beijing shanghai guangzhou shenzhen hangzhou chengdu
    wuhan nanjing tianjin chongqing xiaoxiao xiaoming baobei baobao laopo laogong tiantian mingtian kuaile
    xingfu taiyang yueliang haohao guanliyuan yonghu denglu ceshi gongsi qinaide aixinjueluo asdasd dearbook
    caonima sunshine zhimakaimen jiayou wobuzhidao wangluo diannao 我爱你 密码 你好 中国 管理员 北京 上海 公司 测试 登录
"""
# Numbers that sound like words ("5201314": I love you forever) or are typed as they lie.
_NUMBERS = """
    5201314 1314520 5211314 7758521 7758258 1314521 584520 201314 520520 521521 147258369 159753 147852
    741852963 789456123 951753 110110 123321 321321 112233 121212 520 521 1314 886 168 888 666
"""
_ROWS = (
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "a1b2c3d4e5f6g7h8i9j0",
    "abcdefghijklmnopqrstuvwxyz",
    "!@#$%^&*()",
)
_RUN = 3  # characters that follow each other in a row
_SPELLED = str.maketrans("@$€!|0134578", "aseiioieastb")
_PIECES = re.compile(
    "|".join(sorted({re.escape(word) for text in (_ENGLISH, _CHINESE) for word in text.split()}, key=len, reverse=True))
)
_DIGITS = re.compile(
    "|".join([*sorted(_NUMBERS.split(), key=len, reverse=True), r"(?:19|20)\d\d(?:[01]\d[0-3]\d)?", r"(.{1,4}?)\1{2,}"])
)


def is_common(password: str, *own: str) -> bool:
    """Return whether a password is common; `own`: words that others know of the person, such as the name."""
    text = unicodedata.normalize("NFKC", password).casefold()
    if text and _is_repetition(text):
        return True
    forms = ((text, False), (text[::-1], False), (text, True), (text[::-1], True))
    return any(_left(form, own, spelled=spelled) < _LEFT for form, spelled in forms)


def _is_repetition(text: str) -> bool:
    """Return whether a text is one short piece again and again."""
    return any(
        text == (text[:length] * (len(text) // length + 1))[: len(text)]
        for length in range(1, min(_LONGEST_PIECE, len(text) // 2) + 1)
    )


def _left(text: str, own: tuple[str, ...], *, spelled: bool) -> int:
    """Return how many letters and digits belong to no common piece; `spelled`: digits and signs stand for letters."""
    words = [word for each in own for word in re.split(r"[\W_]+", unicodedata.normalize("NFKC", each).casefold())]
    for word in sorted((word for word in words if len(word) >= 2), key=len, reverse=True):
        text = text.replace(word, " ")
    text = _DIGITS.sub(" ", _without_runs(text))
    text = _PIECES.sub(" ", text.translate(_SPELLED) if spelled else text)
    rest = [part for part in re.split(r"[\W_]+", text) if part]
    # Digits that are left over are a number at most: few of them are quickly tried.
    return sum(len(part) if not part.isdigit() else len(part) // 2 for part in rest)


def _without_runs(text: str) -> str:
    """Take out what follows each other on a keyboard or in the alphabet, forwards or backwards."""
    for row in _ROWS:
        for line in (row, row[::-1]):
            for length in range(len(line), _RUN, -1):
                for start in range(len(line) - length + 1):
                    text = text.replace(line[start : start + length], " ")
    return text
