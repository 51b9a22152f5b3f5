"""The everyday questions over `documents`, written before any answer was seen."""

from __future__ import annotations

from tests.benchmarks.everyday.asked import Asked, Expect

QUESTIONS = (
    # Frequently asked questions.
    Asked("When is the library open?", ("Tuesday to Friday from 10:00 to 19:00",), ("closed on Sundays",)),
    Asked("How many books can I borrow?", ("twelve items",)),
    Asked("How long can I keep a book?", ("Four weeks",)),
    Asked("What does it cost to replace a lost library card?", ("7.50 EUR",)),
    Asked("Am I allowed to bring food?", ("Drinks with a lid",)),
    Asked("Can I reserve a study room?", ("two hours a day",)),
    # Manual: tables, steps, values.
    Asked("What does error code E15 mean?", ("Drain pump blocked",)),
    Asked("What should I do when E01 is shown?", ("Open the tap",)),
    Asked("List all error codes of the dishwasher", ("E01", "E04", "E09", "E15", "E22"), expect=Expect.ALL),
    Asked("How do I clean the filter?", ("Remove the lower basket", "Turn the filter", "Rinse it", "until it clicks")),
    Asked("How long does the Quick programme take?", ("35 min",)),
    Asked("At what temperature does the Glass programme wash?", ("40 °C",)),
    Asked("How heavy is the dishwasher?", ("38 kg",)),
    Asked("How loud is the AquaLine 540?", ("44 dB",)),
    Asked("What is the difference between Eco and Intensive?", ("3 h 45 min", "2 h 30 min"), expect=Expect.ALL),
    # Price list.
    Asked("What is the price of Bolt M8 x 60?", ("0.40",)),
    Asked("How many anchor plates are in stock?", ("85",)),
    Asked("Which article has the number G-0450?", ("Grease cartridge",)),
    Asked("In which unit is sealing tape sold?", ("roll",)),
    # Minutes.
    Asked("When is the next residents' meeting?", ("9 September 2026",)),
    Asked("How much does the roof repair cost?", ("18,400 EUR",), ("Work begins on 22 June", "Lindqvist")),
    Asked("What happens to bicycles without a label?", ("removed on 1 July",), ("abandoned bicycles",)),
    Asked("Who was present at the residents' association meeting in May?", ("Mrs Okafor",), ("Excused",)),
    # Contract.
    Asked("How much is the monthly rent?", ("1,180 EUR",), ("due on the third",)),
    Asked("How much notice must the tenant give?", ("three months",), ("Notice must be given",)),
    Asked("Are dogs allowed in the flat?", ("landlord's consent",), ("hamsters",)),
    Asked("How large is the deposit for the flat?", ("2,360 EUR",), ("returned within six months",)),
    Asked("Summarise the rental agreement", ("Northgate Housing",), ("tenant", "rent", "landlord"), Expect.PARTLY),
    # Recipe.
    Asked("What are the ingredients of the lentil soup?", ("300 g red lentils", "1 lemon", "ground cumin")),
    Asked("How long can the soup be frozen?", ("four months",), ("three days",)),
    Asked("How long does the lentil soup have to cook?", ("35 minutes",), ("25 minutes",)),
    # Log.
    Asked("Why did vault-2 refuse the connection?", ("certificate expired",)),
    Asked("Which file was locked during the backup?", ("archive.db",)),
    Asked("How much data did the nightly backup write?", ("182 GB",)),
    # Source code and a read-me.
    Asked("How much is the express surcharge?", ("8.9",), ("EXPRESS_SURCHARGE",)),
    Asked("How do I install tidepool?", ("pip install tidepool",)),
    Asked("How can I undo a rename in tidepool?", ("tidepool undo",)),
    Asked("Which licence does tidepool have?", ("MIT",)),
    # Web page.
    Asked("How much is a return ticket for an adult on the ferry?", ("5.80",)),
    Asked("When does the last ferry leave in winter?", ("18:10",)),
    Asked("Do dogs pay on the ferry?", ("travel free",)),
    # PDF.
    Asked("How much energy did Gdansk use?", ("3,355",)),
    Asked("How many employees work in Tampere?", ("91",)),
    Asked("What do the solar panels cost?", ("640,000 EUR",), ("Solar panels will be installed",)),
    # Workbook.
    Asked("Who teaches Spanish B2?", ("Marta Ruiz",)),
    Asked("What is the fee for pottery?", ("145",)),
    Asked("In which room is the first aid course?", ("A07",)),
    # Others.
    Asked("What is the total of the invoice from Brightwater Plumbing?", ("832.20",)),
    Asked("Where is our stand at the trade fair?", ("hall 6, stand 114",), ("24 square metres",)),
    Asked("What are common side effects of Corvenol?", ("headache", "swollen ankles", "tiredness")),
    Asked("What is a halyard?", ("line used to hoist a sail",)),
    Asked("How long are customer records kept?", ("seven years",), ("七年",)),
    # Chinese.
    Asked("年假有几天？", ("年假十天",), ("年假应提前",)),
    Asked("密码多久更换一次？", ("一百八十天",)),
    Asked("工资什么时候发？", ("每月十日",)),
    Asked("加湿器的价格是多少？", ("399",)),
    Asked("电源灯红色闪烁是什么意思？", ("过热",)),
    Asked("如何恢复出厂设置？", ("RESET",), ("个人设置",)),
    Asked("列出所有产品的保修期", ("24个月", "12个月", "18个月", "36个月"), expect=Expect.ALL),
    # What the documents do not answer.
    Asked("Who won the football world championship in 1998?", expect=Expect.NOTHING),
)
