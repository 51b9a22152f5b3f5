# ruff: noqa: E501, F541 - tables of examples, one long line each
"""Texts on which the figures are told; masking was not tuned by them: vCards, CSV, escaped JSON, mails, CVs, traces, INI."""

from __future__ import annotations

import json
import string
from collections.abc import Callable

from services.core.masking import PersonalKind
from tests.core.masking.planted import Planted, Sample, Values

FOLK = (
    "Olivia Wright",
    "Mehmet Yılmaz",
    "Anna-Lena Schäfer",
    "Diego Fernández",
    "黃志明",
    "林佳慧",
    "司马青",
    "徐磊",
    "馬小雲",
    "K. Ito",
)
BOXES = ("olivia", "mehmet.yilmaz", "a-l.schaefer", "diego_f", "hzm", "lin.chiahui", "xulei2024", "sales+asia")
SITES = (
    "web.de",
    "mail.ru",
    "hotmail.fr",
    "company.co.jp",
    "aliyun.com",
    "yeah.net",
    "inbox.lv",
    "research.example.ac.uk",
    "foo-bar.io",
)
FILLERS = (
    "Agenda item 3 was postponed until the audit is over.", "Temperature 36.6, pulse 72, pressure 120/80.", "See section 4.2.1 on page 118 for the wiring.", "The 2019-2024 average is 1,204.75 per unit.",
    "議程第三項延至下月討論。", "体温36.6度，脉搏72次，血压120/80。", "接线方法见第118页4.2.1节。", "2019至2024年平均每台1204.75元。",
)  # fmt: skip


class HeldOutStyle:
    """Makes samples; half of them are look-alikes."""

    def __init__(self, seed: int) -> None:
        self.v = Values(seed)

    def sample(self) -> Sample:
        made: list[Callable[[], Sample]] = [
            self.vcard,
            self.csv,
            self.escaped_json,
            self.mail,
            self.curriculum,
            self.trace,
            self.ini,
            self.invoice,
            self.notes,
        ]
        return self.harmless() if self.v.random.random() < 0.45 else self.v.random.choice(made)()

    def phone(self) -> Planted:
        v, n = self.v, self.v.mobile()
        d = v.digits
        return PersonalKind.PHONE, v.pick(
            n, f"{n[:3]} {n[3:7]} {n[7:]}", f"{n[:3]}-{n[3:]}", f"+86 ({n[:3]}) {n[3:7]} {n[7:]}", f"+86 1{n[1:3]}-{n[3:7]}-{n[7:]}", f"86{n}", f"0086-{n}", f"{n[:4]} {n[4:7]} {n[7:]}", f"{n[:3]}_{n[3:7]}_{n[7:]}",
            f"023-6{d(7)}", f"0871-6{d(3)}-{d(4)}", f"(0574) 8{d(7)}", f"010 6{d(3)} {d(4)}", f"+86-20-8{d(7)}", f"400-{d(4)}-{d(3)}", f"(025)8{d(7)}-{d(4)}",
            f"+1 206 5{v.pick(*'2345')}{d(1)} {d(4)}", f"+1.312.5{v.pick(*'2345')}{d(1)}.{d(4)}", f"+44 161 496 0{d(3)}", f"+44-7{d(3)}-{d(6)}", f"+49 40 {d(6)}", f"+49/170 {d(7)}".replace("/", " "), f"+33 (0)1 4{d(1)} {d(2)} {d(2)} {d(2)}",
            f"+90 532 {d(3)} {d(2)} {d(2)}", f"+7 (916) {d(3)}-{d(2)}-{d(2)}", f"+34 6{d(2)} {d(3)} {d(3)}", f"+353 87 {d(3)} {d(4)}", f"+852-9{d(3)}-{d(4)}", f"+886-9{d(2)}-{d(3)}-{d(3)}", f"+81-3-{v.pick(*'3456')}{d(3)}-{d(4)}",
            f"+27 82 {d(3)} {d(4)}", f"+254 7{d(8)}", f"+54 9 11 {d(4)} {d(4)}", f"+66 8{d(1)} {d(3)} {d(4)}",
        )  # fmt: skip

    def identity(self) -> Planted:
        n = self.v.id_number()
        return PersonalKind.ID_NUMBER, self.v.pick(
            n,
            n,
            n.replace("X", "x"),
            f"{n[:6]} {n[6:14]} {n[14:]}",
            f"{n[:6]}-{n[6:10]}-{n[10:14]}-{n[14:]}",
            f"{n[:14]} {n[14:]}",
            self.v.old_id_number(),
            self.v.wide(n),
        )

    def card(self) -> Planted:
        n = self.v.card()
        if len(n) in {16, 19}:
            return PersonalKind.CARD, self.v.pick(
                n,
                n,
                " ".join(n[i : i + 4] for i in range(0, len(n), 4)),
                "-".join(n[i : i + 4] for i in range(0, len(n), 4)),
            )
        return PersonalKind.CARD, n

    def email(self) -> Planted:
        v = self.v
        a = f"{v.pick(*BOXES)}@{v.pick(*SITES)}"
        return PersonalKind.EMAIL, v.pick(
            a, a, a, a.replace("@", "%40"), a.upper(), a.replace("@", "＠"), f"{v.pick(*BOXES)}(at){v.pick(*SITES)}"
        )

    def iban(self) -> Planted:
        n = self.v.iban()
        return PersonalKind.IBAN, self.v.pick(n, " ".join(n[i : i + 4] for i in range(0, len(n), 4)))

    def password(self) -> Planted:
        v = self.v
        return PersonalKind.SECRET, v.pick(
            v.password(),
            v.letters(12),
            f"{v.letters(4)}-{v.digits(3)}-{v.letters(4)}",
            f"{v.letters(3, string.ascii_uppercase)}{v.digits(3)}%{v.letters(3, string.ascii_lowercase)}",
        )

    def passport(self) -> Planted:
        return PersonalKind.PASSPORT, self.v.passport()

    def token(self) -> Planted:
        return PersonalKind.SECRET, self.v.token()

    def vcard(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            "BEGIN:VCARD\nVERSION:3.0\nFN:",
            v.pick(*FOLK),
            "\nTEL;TYPE=CELL:",
            self.phone(),
            "\nTEL;TYPE=WORK,VOICE:",
            self.phone(),
            "\nEMAIL;TYPE=INTERNET:",
            self.email(),
            f"\nREV:2025{v.pick('01', '07', '11')}{v.pick('02', '19', '28')}T{v.digits(0)}101500Z\nEND:VCARD\n",
        )
        return s

    def csv(self) -> Sample:
        v, s = self.v, Sample()
        quote = v.pick("", '"')
        s.add("id,customer,phone,id_number,card,email,total\n")
        for row in range(3):
            q = quote
            s.add(
                f"{1000 + row},{q}",
                v.pick(*FOLK),
                f"{q},{q}",
                self.phone(),
                f"{q},{q}",
                self.identity(),
                f"{q},{q}",
                self.card(),
                f"{q},{q}",
                self.email(),
                f"{q},{v.digits(4)}.{v.digits(2)}\n",
            )
        return s

    def escaped_json(self) -> Sample:
        v, s = self.v, Sample()

        def escaped(text: str) -> str:
            return json.dumps(text)[1:-1]

        s.add(
            '{"event": "',
            escaped("用户登录"),
            '", "note": "',
            escaped(v.pick(*FOLK)),
            escaped("电话"),
            (PersonalKind.PHONE, v.mobile()),
            escaped("已验证"),
            '", "mobile":',
            (PersonalKind.PHONE, v.mobile()),
            ', "ms": 12.5, ',
        )
        s.add(
            '"body": "{\\"password\\": \\"',
            (PersonalKind.SECRET, v.letters(10)),
            '\\", \\"idNumber\\": \\"',
            (PersonalKind.ID_NUMBER, v.id_number()),
            '\\"}", "accessToken": "',
            self.token(),
            '", "bytes": ',
            v.digits(8),
            "}\n",
        )
        return s

    def mail(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            f'From: "{v.pick(*FOLK)}" <',
            self.email(),
            ">\nTo: ",
            self.email(),
            ", ",
            self.email(),
            f"\nDate: Mon, 3 Mar 2025 09:{v.random.randint(10, 59)}:00 +0100\nSubject: {v.pick('Rechnung', 'visa papers', '报销')} {v.digits(5)}\n\n",
        )
        s.add(
            v.pick(*FILLERS),
            "\n",
            v.pick("Mobil: ", "Mobile ", "M: ", "手機：", "Tel./Fax "),
            self.phone(),
            "\n",
            v.pick("My passport (", "本人護照（"),
            self.passport(),
            v.pick(") expires soon.", "）即将到期。"),
            "\n-- \n",
            v.pick(*FOLK),
            " | ",
            self.phone(),
            " | ",
            self.email(),
            "\n",
        )
        return s

    def curriculum(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            "# ",
            v.pick(*FOLK),
            "\n\n* born 1988-04-",
            v.pick("03", "17"),
            "\n* ",
            self.phone(),
            "\n* ",
            self.email(),
            "\n* ",
            v.pick("公民身份号码 ", "ID card: ", "证件号码："),
            self.identity(),
            "\n\n",
            "2012-2018 ",
            v.pick(*FILLERS),
            "\n",
        )
        return s

    def trace(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            f'Traceback (most recent call last):\n  File "/srv/app/send.py", line {v.digits(3)}, in deliver\nValueError: no route to \'',
            self.phone(),
            "'\n",
        )
        s.add(
            "requests.exceptions.HTTPError: 401 for url: https://api.example.net/v1/users?email=",
            self.email(),
            "&api_key=",
            (PersonalKind.SECRET, v.letters(24)),
            "&limit=5\n",
        )
        s.add(
            f"psycopg.OperationalError: could not connect to postgresql://svc:",
            (PersonalKind.SECRET, v.password()),
            f"@10.1.2.{v.digits(1)}/prod\n",
        )
        return s

    def ini(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            "[mail]\nserver = smtp.example.net\nusername = ",
            self.email(),
            "\npassword = ",
            self.password(),
            "\n\n[billing]\niban = ",
            self.iban(),
            "\napi-key: ",
            self.token(),
            f"\nport = {v.digits(4)}\n; ",
            v.pick(*FILLERS),
            "\n口令：",
            self.password(),
            "\n",
        )
        return s

    def invoice(self) -> Sample:
        v, s = self.v, Sample()
        s.add(
            f"Invoice {v.digits(8)} of 12/03/2025\nNet {v.digits(4)}.{v.digits(2)} VAT {v.digits(3)}.{v.digits(2)}\nPay to: ",
            self.iban(),
            " (BIC COBADEFFXXX)\n",
            "paid with ",
            self.card(),
            " on 13/03\n收款账号 ",
            self.card(),
            "，户名",
            v.pick(*FOLK),
            "\n",
        )
        return s

    def notes(self) -> Sample:
        v, s = self.v, Sample()
        for _line in range(3):
            parts: list[tuple[str | Planted, ...]] = [
                ("乘机人", v.pick(*FOLK), " ", self.passport(), "，", self.phone(), "。"), ("房东", self.phone(), "，押金已付。"), ("ring ", v.pick(*FOLK), " back: ", self.phone(), "!"), ("登入密碼：", self.password(), "（請儘快更改）"),
                ("root pw → see vault; ", v.pick(*FILLERS)), ("刷", self.card(), "付了尾款"), ("办证用：", self.identity(), "/", v.pick(*FOLK)), ("Bearer ", self.token(), " still works"), ("key is ", self.token(), "."), ("passport: ", self.passport(), " (CHN)"), ("抄送", self.email(), "即可"),
            ]  # fmt: skip
            s.add("- ", *v.random.choice(parts), "\n- ", v.pick(*FILLERS), "\n")
        return s

    def harmless(self) -> Sample:
        s = Sample()
        for _line in range(6):
            s.add(self.look_alike(), "\n")
        return s

    def look_alike(self) -> str:
        v, r = self.v, self.v.random
        d = v.digits
        hexa = "0123456789abcdef"
        return v.pick(
            f"Bestellung {d(10)}", f"purchase order {d(16)} confirmed", f"order {d(4)} {d(4)} {d(4)} {d(4)}", f"訂單編號：{d(16)}", f"交易号 {d(17)}", f"支付流水号:{d(16)}", f"\"orderNo\":\"{d(16)}\"", f"/orders/{d(16)}/items", f"order_id,{d(16)}", f"发票代码 {d(12)} 号码 {d(8)}",
            f"{r.randint(1, 99)},{d(3)},{d(3)}.{d(2)} USD", f"￥{d(5)}.{d(2)}", f"人民币{r.randint(1, 9)}亿{d(4)}万元", f"${r.randint(1, 9)}.{d(1)}bn", f"€ {d(3)}.{d(3)},{d(2)}", f"资产总额 {r.randint(13, 19)}{d(9)} 元", f"merged {r.randint(13, 19)}{d(9)} rows", f"{d(3)} 元/吨，{d(4)} 吨",
            f"release 20{r.randint(20, 25)}.{r.randint(1, 12)}.{d(3)}", f"kernel 6.{d(1)}.{d(2)}-{d(3)}-generic", f"ISBN 7-{d(3)}-{d(5)}-{d(1)}", f"978-1-{d(4)}-{d(4)}-{d(1)}", f"ISSN {d(4)}-{d(4)}", f"DOI 10.{d(4)}/s{d(5)}-{d(3)}-{d(5)}-{d(1)}", f"arXiv:{r.randint(15, 25)}{r.randint(1, 12):02d}.{d(5)}", f"EP{d(7)}B1", f"CN{d(9)}A", f"ZL 2020 1 {d(7)}.{d(1)}",
            f"article {d(3)}.{d(3)}.{d(2)}", f"Teil {d(1)}K{d(1)} {d(3)} {d(3)} A", f"序列号：{d(4)}-{d(4)}-{d(4)}", f"M8x{d(2)}-{d(4)}", f"IP {r.randint(1, 223)}.{d(2)}.{d(2)}.{d(2)}", f"fe80::{v.letters(4, hexa)}:{v.letters(4, hexa)}", f"ETag \"{v.letters(32, hexa)}\"", f"blob {v.letters(40, hexa)}", f"{v.letters(8, hexa)}-{v.letters(4, hexa)}-4{v.letters(3, hexa)}-a{v.letters(3, hexa)}-{v.letters(12, hexa)}",
            f"1{r.randint(6, 7)}{d(8)}.{d(6)}", f"@{r.randint(1_600_000_000, 1_799_999_999)}", f"time={r.randint(1_600_000_000_000_000_000, 1_799_999_999_999_999_999)}", f"2025{r.randint(1, 12):02d}{r.randint(1, 28):02d}{r.randint(10, 23)}{r.randint(10, 59)}{r.randint(10, 59)}", f"2025/{r.randint(1, 12)}/{r.randint(1, 28)}-{d(4)}", f"since {r.randint(1, 28)}-{r.randint(1, 12)}-1999", f"民國{r.randint(80, 114)}年",
            f"extension {d(4)}", f"轉{d(3)}", f"room {d(3)}-{d(4)}", f"拨 9 再拨 {d(4)}", f"number {v.wrong_id_number()} was refused", f"校验失败：{v.wrong_id_number()}", f"declined: {v.wrong_card()}", f"卡号{v.wrong_card()}无效", f"{d(16)[:1]}{d(2)}-{d(2)}-{d(4)}", f"player stats {d(2)} {d(2)} {d(3)} {d(4)} {d(1)} {d(2)}", f"{r.randint(100, 199)} {d(4)} {d(4)} {d(4)}", f"[{d(3)}, {d(4)}, {d(4)}]", f"{d(3)};{d(4)};{d(4)};{d(2)}",
            f"x = {d(1)}.{d(14)}", f"1e{d(2)}", f"{d(4)}:{d(4)}:{d(4)}:{d(4)}", f"sku={v.letters(2, string.ascii_uppercase)}{d(8)}", f"货号{d(8)}", f"id={v.letters(24, hexa)}", f"sensor E{d(4)}.{d(2)}", f"chip G{d(3)}", f"error E{d(8)}", f"batch no {v.pick('E', 'G')}{d(8)}", f"a@b", f"@alice_{d(2)} mentioned you", f"file@v{d(1)}.{d(1)}.{d(1)}", f"cat@3x.jpeg", f"W @ x.T", f"user@host:~$ ls",
            "Passwords are stored as hashes.", "The password: see the sealed envelope", "Enter your password:", "token = next(stream)", "token: the smallest unit of a text", "secret: bool = False", "密码错误，请重试", "令牌已过期", "请输入密码：", "API key not valid", "auth=None", "Bearer authentication is used.", "sk-learn pipeline", "ghp is a number of horses", "key=value&key2=value2", "session cookie is missing", "completion_tokens=118", "--token-file /run/token",
            f"社会信用代码9131{d(4)}MA{v.letters(8, string.ascii_uppercase + string.digits)}", f"车牌 沪A{d(5)}", f"K{d(4)}次列车", f"flight MU{d(4)} gate {d(2)}", f"zip {d(5)}-{d(4)}", f"PLZ {d(5)}", f"steuernummer {d(2)}/{d(3)}/{d(5)}", f"案号（2024）沪01民终{d(4)}号", f"学籍号{d(12)}", f"工号 {d(8)}", f"wafer {v.letters(2, string.ascii_uppercase)}{d(2)}{v.letters(4, string.ascii_uppercase)}{d(6)}", f"+{d(1)} bonus", f"a+{r.randint(1, 9)}{d(9)}", f"±{d(2)}.{d(3)}", f"{d(4)}-{d(4)} m", f"tel aviv {d(4)}",
        )  # fmt: skip
