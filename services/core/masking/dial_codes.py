"""Country codes of ITU-T E.164 with the lengths of their national numbers."""

from __future__ import annotations

# Digits after the country code, least and most, as the national numbering plans have them; landlines included.
_LENGTHS: dict[str, tuple[int, int]] = {
    "1": (10, 10), "7": (10, 10), "20": (8, 10), "27": (9, 9), "30": (10, 10), "31": (9, 9), "32": (8, 9),
    "33": (9, 9),
    "34": (9, 9), "36": (8, 9), "39": (6, 11), "40": (9, 9), "41": (9, 9), "43": (6, 13), "44": (9, 10), "45": (8, 8),
    "46": (7, 10), "47": (8, 8), "48": (9, 9), "49": (6, 12), "51": (8, 9), "52": (10, 11), "53": (7, 8),
    "54": (10, 11),
    "55": (10, 11), "56": (9, 9), "57": (8, 10), "58": (10, 10), "60": (8, 10), "61": (9, 9), "62": (8, 12),
    "63": (8, 10),
    "64": (8, 10), "65": (8, 8), "66": (8, 9), "81": (9, 10), "82": (8, 10), "84": (9, 10), "86": (9, 11),
    "90": (10, 10),
    "91": (10, 10), "92": (9, 10), "93": (9, 9), "94": (9, 9), "95": (7, 10), "98": (10, 10), "852": (8, 8),
    "853": (8, 8),
    "886": (8, 9), "971": (8, 9), "966": (8, 9), "972": (8, 9), "353": (7, 9), "351": (9, 9), "358": (6, 10),
    "420": (9, 9), "421": (9, 9), "380": (9, 9), "385": (8, 9), "370": (8, 8), "371": (8, 8), "372": (7, 8),
}  # fmt: skip
_OTHER = (
    "211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241 "
    "242 243 "
    "244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 "
    "297 298 "
    "299 350 352 354 355 356 357 359 373 374 375 376 377 378 381 382 383 386 387 389 423 500 501 502 503 504 505 "
    "506 507 "
    "508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 "
    "687 688 "
    "689 690 691 692 800 808 850 855 856 870 878 880 881 882 883 888 960 961 962 963 964 965 967 968 970 973 974 "
    "975 976 "
    "977 979 992 993 994 995 996 998"
)
_ALL = _LENGTHS | dict.fromkeys(_OTHER.split(), (6, 11))


def is_international(digits: str) -> bool:
    """Return whether digits (without +) are a telephone number with a country code that exists."""
    if not 8 <= len(digits) <= 15:
        return False
    code = next((digits[:size] for size in (1, 2, 3) if digits[:size] in _ALL), "")
    if not code:
        return False
    least, most = _ALL[code]
    national = digits[len(code) :]
    if national.startswith("0") and len(national) - 1 >= least:  # +44 (0)20 ...
        national = national[1:]
    if not least <= len(national) <= most or len(set(national)) < 2:
        return False
    return national[0] in "23456789" and national[3] not in "01" if code == "1" else True
