"""The word before a value: what it says the value is."""

from __future__ import annotations

import re
from enum import StrEnum

REACH = 48  # characters before a value


class Label(StrEnum):
    """What the word before a value calls it."""

    NONE = ""
    PHONE = "phone"
    CARD = "card"
    IDENTITY = "identity"
    PASSPORT = "passport"
    REFERENCE = "reference"  # an order, a part, a batch: a number of a thing
    NEAR = "near"  # such a word beside it, as in names of files and paths: 合同138..., /documents/138...
    AMOUNT = "amount"


_SEPARATORS = " \t\r\n\u00a0\"'`“”‘’「」:：=#＃.-_/\\(（)）>|*,，~"
# What stands between the word and its value, or belongs to the word: "order no.", "手机号码是".
_FILLERS = (
    " is", " are", " was", " at", " on", " to", " no", "number", " nr", "num", "号码", "編號", "编号", "号", "號",
    "码", "是", "为", "為",
    "_id", "-id", " id", "id", "_no", "-no", "no",
)  # fmt: skip
_WEAK = " _-/"  # signs that part any two words
_WORDS = {
    Label.PHONE: "phone telephone tel mobile cell cellphone fax hotline call dial ring whatsapp sms contact landline",
    Label.CARD: "card debit credit visa mastercard unionpay amex pan account acct",
    Label.IDENTITY: "identity idcard ssn citizen resident",
    Label.PASSPORT: "passport",
    Label.REFERENCE: (
        "order invoice tracking serial sn part pn sku batch lot ticket ref reference contract isbn issn ean gtin "
        "upc barcode "
        "trace span request session transaction txn trade payment build version release timestamp time epoch "
        "uuid guid hash "
        "checksum digest commit revision job task message event record row line page item product model asset "
        "imei imsi iccid "
        "parcel shipment waybill consignment case file document doc zip postcode qq device seq sequence offset nonce "
        "receipt voucher policy claim booking reservation flight po bill counter meter license licence certificate "
        "article entry key index process pid thread port address block inode seed hex bin code error"
    ),
    Label.AMOUNT: "amount price total sum cost revenue balance population quantity bytes size count usd eur rmb cny",
}
_LABELS = {word: label for label, words in _WORDS.items() for word in words.split()}
_HAN_WORDS = {
    Label.PHONE: (
        "手机 手機 电话 電話 联系方式 聯繫方式 座机 传真 傳真 热线 熱線 致电 拨打 撥打 固话 来电 短信 联系人 客服 移动"
    ),
    Label.CARD: "卡 账户 帐户 賬戶 账 帐",
    Label.IDENTITY: "身份证 身份證 证件 證件 居民证",
    Label.PASSPORT: "护照 護照 通行证 通行證 台胞证 回乡证",
    Label.REFERENCE: (
        "订单 訂單 单 單 流水 交易 发票 發票 物流 快递 运单 序列 料 型 零件 批次 批 工单 合同 条 條形 学 工 员工 资产 "
        "设备 版本 时间戳 邮政编 邮 案 文 证书 许可证 信用代 税 编 代 商品 产品 图 备案 追踪 跟踪 会话 请求 "
        "记录 凭证 保单 航班 错误 微信 档案 件 机身 校验 参考"
    ),
    Label.AMOUNT: "金额 金額 价格 價格 总价 人口 数量 數量 合计 共计 余额 成本 收入 营收 字节 ¥ ￥",
}
_HAN = tuple((label, tuple(words.split())) for label, words in _HAN_WORDS.items())
_LAST_WORD = re.compile(r"[a-z]+\Z")
_CURRENCY = "$€£¥￥₽₹"


def label_before(lower: str, start: int) -> Label:
    """Return what the word before `start` calls the value there; `lower` is the text in lower case."""
    before = lower[max(0, start - REACH) : start]
    last = before.rstrip(_SEPARATORS)[-1:]
    if (not last or last.isdigit()) and not before.strip(" ").endswith(("#", "$", "€", "£", "¥", "￥")):
        return Label.NONE
    if before.rstrip(" ")[-1:] in _CURRENCY and before.strip():
        return Label.AMOUNT
    bare = before.rstrip(_SEPARATORS)
    between = before[len(bare) :]
    if between.count("\n") > 1:  # another paragraph
        return Label.NONE
    for _time in range(3):
        if label := _named(bare):
            return Label.NEAR if label is Label.REFERENCE and not between.strip(_WEAK) else label
        if not bare.endswith(_FILLERS):
            break
        filler = next(filler for filler in _FILLERS if bare.endswith(filler))
        bare = bare[: -len(filler)].rstrip(_SEPARATORS)
        between = before[len(bare) :]
    return Label.REFERENCE if between.rstrip(" ").endswith(("#", "＃")) else Label.NONE


def _named(bare: str) -> Label:
    """Return what the last word of `bare` names."""
    word = _LAST_WORD.search(bare)
    if word is not None:
        found = _LABELS.get(word[0]) or _LABELS.get(word[0].removesuffix("s"))
        if found is None and word[0].endswith("phone"):
            found = Label.PHONE
        return found or Label.NONE
    return next((label for label, names in _HAN if bare.endswith(names)), Label.NONE)


# Behind a number: it is an amount of something.
_UNIT = re.compile(
    r"\s?(?:[元万亿萬億吨米块次个條条件行字位%％‰°]|美元|欧元|港元|人民币|千|bytes?\b|[kmgt]i?b\b|b\b|[mnu]s\b|seconds?\b|rows?\b|"
    r"lines?\b|records?\b|items?\b|files?\b|tokens?\b|users?\b|people\b|units?\b|usd\b|eur\b|rmb\b|cny\b|gbp\b|dollars?\b|"
    r"euros?\b|yuan\b|km\b|kg\b|hz\b|times\b|points?\b|shares?\b|million\b|[\-+*/=]\s?[0-9]{1,3}\s?=)"
)


def has_unit(lower: str, end: int) -> bool:
    """Return whether a unit follows at `end`: what stands before it is an amount."""
    return _UNIT.match(lower, end) is not None
