# ruff: noqa: E501, F541 - tables of examples, one long line each
"""Texts by which masking was tuned: letters, forms, tables, logs and code, English and Chinese."""

from __future__ import annotations

import string
from collections.abc import Callable

from services.core.masking import PersonalKind
from tests.core.masking.planted import Planted, Sample, Values

NAMES = (
    "Alice Brown",
    "John Miller",
    "Priya Nair",
    "Tom O'Neil",
    "Sofia Rossi",
    "王伟",
    "李娜",
    "张敏",
    "刘洋",
    "陈静",
    "欧阳建国",
)
LATIN = ("alice", "john.miller", "p.nair", "tom", "sofia_rossi", "wangwei", "li.na88", "zhangmin")
DOMAINS = ("example.com", "mail.example.org", "corp.cn", "qq.com", "163.com", "gmail.com", "uni-koeln.de", "acme.co.uk")
CITIES = ("Berlin", "Leeds", "Toronto", "上海", "成都", "广州")
PROSE = (
    "The meeting was moved to Thursday and the minutes will follow.", "Delivery takes three to five working days.",
    "Please check the attached plan before the end of the week.", "The pump runs at 2,950 rpm and 7.5 kW.",
    "会议改到周四，纪要随后发出。", "请在本周内核对附件中的方案。", "水泵额定转速为2950转每分钟，功率7.5千瓦。", "库存不足时请联系仓库负责人。",
)  # fmt: skip
WORLD = (
    ("+44 20 7946 0", 3), ("+44 7911 12", 4), ("+1 415 555 ", 4), ("+1 (212) 555-", 4), ("+49 30 9018", 5), ("+33 1 42 68 5", 3),
    ("+65 6123 4", 3), ("+81 3-1234-5", 3), ("+61 2 9876 5", 3), ("+852 2123 4", 3), ("+91 98765 4", 4), ("+7 495 123-4", 3), ("+886 2 2345 6", 3),
    ("+3906 6982 ", 4), ("+34 91 234 5", 3), ("+15552", 6), ("+4915112345", 3),
)  # fmt: skip


class TuningStyle:
    """Makes samples; every kind comes about equally often, and as many look-alikes."""

    def __init__(self, seed: int) -> None:
        self.v = Values(seed)

    def sample(self) -> Sample:
        made: list[Callable[[], Sample]] = [
            self.letter,
            self.form,
            self.table,
            self.log_lines,
            self.code,
            self.look_alikes,
            self.look_alikes,
            self.look_alikes,
        ]
        return self.v.random.choice(made)()

    # values in their shapes

    def phone(self) -> Planted:
        v = self.v
        number = v.mobile()
        shapes = [
            number, number, number, f"+86{number}", f"+86 {number}", f"86-{number}", f"0086{number}",
            f"{number[:3]} {number[3:7]} {number[7:]}", f"{number[:3]}-{number[3:7]}-{number[7:]}", f"+86 {number[:3]} {number[3:7]} {number[7:]}",
            v.wide(number), f"010-{v.pick('6', '8')}{v.digits(7)}", f"0755-2{v.digits(7)}", f"(021) 5{v.digits(3)} {v.digits(4)}", f"+86 10 8{v.digits(3)} {v.digits(4)}",
            f"0512-6{v.digits(7)}-{v.digits(3)}", f"400-{v.digits(3)}-{v.digits(4)}", f"800-{v.digits(3)}-{v.digits(4)}", f"（028）8{v.digits(7)}",
        ]  # fmt: skip
        if v.random.random() < 0.3:
            head, count = v.random.choice(WORLD)
            return PersonalKind.PHONE, head + v.digits(count)
        return PersonalKind.PHONE, v.random.choice(shapes)

    def card(self) -> Planted:
        v = self.v
        number = v.card()
        fours = [number[i : i + 4] for i in range(0, len(number), 4)]
        shapes = (
            [number, number, " ".join(fours), "-".join(fours), v.wide(number)] if len(number) in {16, 19} else [number]
        )
        return PersonalKind.CARD, v.random.choice(shapes)

    def id_number(self) -> Planted:
        v = self.v
        number = v.id_number()
        shapes = [
            number,
            number,
            number,
            number.lower(),
            f"{number[:6]} {number[6:14]} {number[14:]}",
            f"{number[:6]}-{number[6:14]}-{number[14:]}",
            v.wide(number),
            v.old_id_number(),
        ]
        return PersonalKind.ID_NUMBER, v.random.choice(shapes)

    def email(self) -> Planted:
        v = self.v
        address = f"{v.pick(*LATIN)}{v.pick('', v.digits(2))}@{v.pick(*DOMAINS)}"
        return PersonalKind.EMAIL, v.random.choice(
            [
                address,
                address,
                address.upper(),
                address.replace("@", "%40"),
                v.wide(address),
                address.replace("@", "+news@"),
            ]
        )

    def iban(self) -> Planted:
        number = self.v.iban()
        spaced = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
        return PersonalKind.IBAN, self.v.pick(number, spaced)

    def passport(self) -> Planted:
        return PersonalKind.PASSPORT, self.v.passport()

    def token(self) -> Planted:
        return PersonalKind.SECRET, self.v.token()

    # texts

    def letter(self) -> Sample:
        v, s = self.v, Sample()
        s.add(v.pick(*PROSE), "\n")
        for _time in range(3):
            chosen = v.random.randrange(11)
            phone, mail = self.phone(), self.email()
            if chosen == 0:
                s.add("You can reach ", v.pick(*NAMES), " at ", phone, " or ", mail, ".\n")
            elif chosen == 1:
                s.add(v.pick(*NAMES), "的电话是", phone, "，邮箱", mail, "，住在", v.pick(*CITIES), "。\n")
            elif chosen == 2:
                s.add("联系人：", v.pick(*NAMES), " 手机", phone, "转交资料。\n")
            elif chosen == 3:
                s.add("身份证号", self.id_number(), "，请核对。", "卡号：", self.card(), "，开户行工商银行。\n")
            elif chosen == 4:
                s.add("Please pay to IBAN ", self.iban(), " by Friday; ", v.pick(*NAMES), "\n")
            elif chosen == 5:
                s.add("Her passport number is ", self.passport(), ", issued in ", v.pick(*CITIES), ".\n")
            elif chosen == 6:
                s.add("护照号码：", self.passport(), "，有效期至2029年5月1日。\n")
            elif chosen == 7:
                s.add("Card ", self.card(), " was charged 120.00 EUR.\n")
            elif chosen == 8:
                s.add("客户", v.pick(*NAMES), "身份证", self.id_number(), "手机", phone, "\n")
            elif chosen == 9:
                s.add("Use the key ", self.token(), " for now. ", v.pick(*PROSE), "\n")
            else:
                s.add("初始密码：", (PersonalKind.SECRET, v.password()), "，首次登录后请修改。\n")
            s.add(v.pick(*PROSE), "\n")
        return s

    def form(self) -> Sample:
        v, s = self.v, Sample()
        s.add("Name: ", v.pick(*NAMES), "\nPhone: ", self.phone(), "\nE-mail: ", self.email(), "\nPassport: ", (PersonalKind.PASSPORT, v.pick(
            v.passport(), "C" + v.letters(8, string.digits + "CFGHJKLMNPRTVWXYZ")[:0] + v.digits(8), v.digits(9), "K" + v.digits(7) + "E", "AB" + v.digits(7))), "\n")  # fmt: skip
        s.add(
            "姓名：",
            v.pick(*NAMES),
            "\n身份证：",
            self.id_number(),
            "\n银行卡：",
            self.card(),
            "\n电话：",
            self.phone(),
            "\n",
        )
        return s

    def table(self) -> Sample:
        v, s = self.v, Sample()
        sep = v.pick(",", "\t", " | ", ";")
        s.add(sep.join(["姓名", "手机", "身份证", "邮箱", "金额"]), "\n")
        for _row in range(4):
            s.add(
                v.pick(*NAMES),
                sep,
                (PersonalKind.PHONE, v.mobile()),
                sep,
                (PersonalKind.ID_NUMBER, v.id_number()),
                sep,
                self.email(),
                sep,
                f"{v.digits(3)}.{v.digits(2)}\n",
            )
        return s

    def log_lines(self) -> Sample:
        v, s = self.v, Sample()
        for _line in range(4):
            s.add(
                f"2025-0{v.random.randint(1, 9)}-1{v.digits(1)}T0{v.digits(1)}:{v.random.randint(10, 59)}:07.{v.digits(3)}Z INFO [{v.letters(8, 'abcdef0123456789')}] "
            )
            chosen = v.random.randrange(8)
            if chosen == 0:
                s.add("POST /login user=", self.email(), " ip=10.0.", v.digits(1), ".7 ms=", v.digits(3))
            elif chosen == 1:
                s.add("headers: Authorization: Bearer ", (PersonalKind.SECRET, v.letters(40)))
            elif chosen == 2:
                s.add(
                    '{"user": "',
                    v.pick(*NAMES),
                    '", "mobile": "',
                    (PersonalKind.PHONE, v.mobile()),
                    '", "amount": 120.5}',
                )
            elif chosen == 3:
                s.add('{"phone": ', (PersonalKind.PHONE, v.mobile()), ', "order": "', v.digits(12), '"}')
            elif chosen == 4:
                s.add("GET /search?q=%E7%94%B5%E8%AF%9D", (PersonalKind.PHONE, v.mobile()), "&page=2 200")
            elif chosen == 5:
                s.add("connect postgres://app:", (PersonalKind.SECRET, v.password()), "@db.example.com:5432/main")
            elif chosen == 6:
                s.add("sms sent to ", self.phone(), " in ", v.digits(3), " ms")
            else:
                s.add("password=", (PersonalKind.SECRET, v.password()), "&user=", v.pick(*LATIN))
            s.add("\n")
        return s

    def code(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            "import os\n\n",
            'API_KEY = "',
            self.token(),
            '"\n',
            "TIMEOUT = 30\n",
            f"BUILD = '{v.letters(40, 'abcdef0123456789')}'\n",
        )
        s.add('config = {"password": "', (PersonalKind.SECRET, v.password()), '", "retries": 3}\n')
        s.add(
            'def login(user, password=None, token=None):\n    token = token or os.environ["TOKEN"]\n    return request(user=user, password=password)\n'
        )
        if v.random.random() < 0.3:
            s.add((PersonalKind.SECRET, v.private_key()), "\n")
        return s

    def look_alikes(self) -> Sample:
        s = Sample()
        for _line in range(6):
            s.add(self.look_alike(), "\n")
        return s

    def look_alike(self) -> str:
        v = self.v
        r = v.random
        uuid = "-".join(v.letters(n, "0123456789abcdef") for n in (8, 4, 4, 4, 12))
        return r.choice(
            [
                f"Order no. {v.digits(16)} was shipped.", f"订单号：{v.digits(16)}，已发货。", f"订单编号 2024{r.randint(1, 12):02d}{v.digits(12)}", f"Invoice {v.digits(8)}-{v.digits(3)} of 2024-11-29",
                f"价格 ¥{r.randint(1, 99)},{v.digits(3)}.00，共{v.digits(5)}元", f"Total: ${v.digits(4)}.{v.digits(2)}", f"Population {v.digits(8)} people", f"版本 {r.randint(1, 20)}.{v.digits(2)}.{v.digits(4)}",
                f"ISBN 978-7-{v.digits(3)}-{v.digits(5)}-{v.digits(1)}", f"ISBN 978{v.digits(10)}", f"Part no. {v.letters(2, string.ascii_uppercase)}{v.digits(6)}-{v.digits(2)}", f"型号 E{v.digits(8)}",
                f"192.168.{r.randint(0, 255)}.{r.randint(0, 255)}:8080", f"10.{r.randint(0, 255)}.{r.randint(0, 255)}.{r.randint(0, 255)}", f"ts={r.randint(1_600_000_000, 1_799_999_999)}", f"ts={r.randint(1_600_000_000_000, 1_799_999_999_999)} ms",
                uuid, f"sha256:{v.letters(64, '0123456789abcdef')}", f"commit {v.letters(40, '0123456789abcdef')}", f"ext. {v.digits(4)}", f"分机 {v.digits(4)}", f"号码 {v.wrong_id_number()}", f"{v.wrong_card()}", f"id {v.wrong_id_number()} x",
                f"2024-{r.randint(1, 12):02d}-{r.randint(1, 28):02d} {r.randint(10, 23)}:{r.randint(10, 59)}:{r.randint(10, 59)}", f"快递单号 {v.digits(13)}", f"tracking number 1Z{v.letters(16, string.ascii_uppercase + string.digits)}",
                f"size {r.randint(10**10, 2 * 10**10)} bytes", f"rows: {v.digits(3)} {v.digits(4)} {v.digits(4)} {v.digits(3)}", f"图片 logo@2x.png 与 icon@3x.jpg", "@property\n@app.route", f"numpy==1.{v.digits(2)}.{v.digits(1)}",
                f"流水号{v.digits(18)}", f"{v.digits(20)}", f"{v.digits(24)}", f"π=3.{v.digits(15)}", f"纬度 31.{v.digits(6)}, 经度 121.{v.digits(6)}", f"serial {v.digits(15)}", f"IMEI: 35{v.digits(13)}", f"password: required", f"密码：不能为空", f"max_tokens={v.digits(4)}",
                f"token count: {v.digits(4)}", f"The token is passed on to the next stage.", f"公元{r.randint(1000, 2024)}年{r.randint(1, 12)}月", f"13 14 15 16 17 18 19 20", f"{v.digits(4)} {v.digits(4)} {v.digits(4)} kg", f"+{r.randint(10, 90)}%", f"+{r.randint(1, 9)},{v.digits(3)}", f"UTC+08:00",
                f"第{v.digits(3)}-{v.digits(4)}条", f"1.{v.digits(3)}.{v.digits(4)}.{v.digits(4)}", f"phase {v.digits(2)}/{v.digits(2)}/{v.digits(4)}", f"MAC 00:1B:44:11:{v.digits(2)}:B7", f"GB/T {v.digits(5)}-2020", f"CAS {v.digits(5)}-{v.digits(2)}-{v.digits(1)}", f"E{v.digits(3)} error", f"QQ {r.randint(10**8, 10**10)}",
            ]
        )  # fmt: skip
