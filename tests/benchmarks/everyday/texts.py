"""Texts of everyday documents, made up: questions and answers, tables, agreements, a log, source code."""

from __future__ import annotations

FAQ = """# Lakeside Library: frequently asked questions

## Opening hours

Q: When is the library open?
A: Tuesday to Friday from 10:00 to 19:00, on Saturdays from 10:00 to 14:00. It is closed on Sundays and Mondays.

Q: Is the library open on public holidays?
A: No. The book drop beside the entrance can be used at any time.

## Borrowing

**How many books can I borrow at once?**

Up to twelve items, of which no more than four may be films.

**How long may I keep a book?**

Four weeks. You can extend twice by two weeks each, unless somebody has reserved it.

**What does a lost card cost?**

A replacement costs 7.50 EUR. Please bring an identity card.

## Rooms

**Can I book a study room?**

Yes, for two hours a day at most. Book at the desk or write to rooms@lakeside.example.

**Is food allowed?**

Drinks with a lid are welcome. Please eat in the courtyard only.
"""

MANUAL = """# Dishwasher AquaLine 540: manual

## 1 Safety

Disconnect the appliance from the mains before any maintenance. Children under eight may not operate the appliance.

## 2 First use

1. Open the water tap fully.
2. Fill the salt container with 1.2 kg of regenerating salt.
3. Pour rinse aid into the dispenser up to the mark MAX.
4. Run the programme Intensive once without dishes.

## 3 Programmes

| Programme | Temperature | Duration | Water |
| --- | --- | --- | --- |
| Eco | 50 °C | 3 h 45 min | 9.5 l |
| Intensive | 70 °C | 2 h 30 min | 14 l |
| Quick | 45 °C | 35 min | 10 l |
| Glass | 40 °C | 1 h 20 min | 12 l |

## 4 Cleaning the filter

The filter sits at the bottom of the tub. To clean it, proceed as follows:

1. Remove the lower basket.
2. Turn the filter anticlockwise and lift it out.
3. Rinse it under running water with a soft brush.
4. Put it back and turn it clockwise until it clicks.

## 5 Faults

The display shows a code when something is wrong.

| Code | Meaning | Remedy |
| --- | --- | --- |
| E01 | No water comes in | Open the tap, check the hose for kinks |
| E04 | Water in the base tray | Close the tap, call customer service |
| E09 | Heating does not work | Call customer service |
| E15 | Drain pump blocked | Clean the filter and the pump sump |
| E22 | Door not closed | Close the door until it clicks |

## 6 Technical data

Rated power: 1900 W
Noise: 44 dB(A)
Weight: 38 kg
Mains cable: 1.5 m
"""

PRICES = """Article,Description,Price (EUR),Unit,Stock
B-0806,Bolt M8 x 60,0.40,piece,1250
B-1080,Bolt M10 x 80,0.72,piece,640
N-0800,Nut M8,0.09,piece,4800
W-0816,Washer 8.4 x 16,0.04,piece,9000
A-2210,Anchor plate 22 x 10,3.95,piece,85
S-4001,Sealing tape 10 m,6.20,roll,40
G-0450,Grease cartridge 450 g,8.75,piece,24
P-7700,Protective gloves size 9,4.60,pair,130
"""

MINUTES = """Minutes of the residents' association, 14 May 2026

Present: Mrs Okafor (chair), Mr Lindqvist, Ms Tanaka, Mr Abbas
Excused: Ms Ferreira

1. Roof repairs

The offer of the company Dachwerk for 18,400 EUR was accepted with four votes to none. Work begins on 22 June and will
take about three weeks. Mr Lindqvist supervises the work.

2. Bicycle cellar

Several owners complained about abandoned bicycles. Bicycles without a label will be removed on 1 July. Ms Tanaka puts
up a notice in every staircase.

3. Garden

The lime tree in the yard is diseased. An expert will examine it before anything is decided.

Next meeting: 9 September 2026, 19:30, in the common room.
"""

CONTRACT = """RENTAL AGREEMENT

between Northgate Housing Ltd (landlord) and Daniel Moreau (tenant)

1. Premises. The landlord lets to the tenant the flat on the second floor of 14 Canal Street, consisting of three
rooms, kitchen and bathroom, 74 square metres in all.

2. Rent. The monthly rent is 1,180 EUR. It is due on the third working day of each month.

3. Deposit. The tenant pays a deposit of 2,360 EUR before moving in. It is returned within six months of the end of
the tenancy.

4. Term and notice. The tenancy begins on 1 April 2026 and runs for an indefinite period. The tenant may give notice
of three months to the end of a month. Notice must be given in writing.

5. Pets. Small animals such as hamsters are allowed. Dogs and cats need the landlord's consent.

6. Subletting. The tenant may not sublet the flat without written permission.

7. Repairs. The tenant bears minor repairs up to 100 EUR each and 350 EUR a year.
"""

RECIPE = """Lentil soup with lemon (serves 4)

Preparation time: 15 minutes
Cooking time: 35 minutes

Ingredients:
- 300 g red lentils
- 2 carrots
- 1 large onion
- 1.5 litres vegetable stock
- 1 lemon
- 1 teaspoon ground cumin

Method:
1. Chop the onion and the carrots and fry them in two spoonfuls of olive oil for five minutes.
2. Add the cumin and the lentils and stir for one minute.
3. Pour in the stock, bring it to the boil and simmer for 25 minutes.
4. Blend half of the soup, put it back and season with lemon juice and salt.

The soup keeps for three days in the refrigerator. It can be frozen for up to four months.
"""

LOG = """2026-03-02 08:14:02 INFO  backup: job nightly started
2026-03-02 08:14:05 INFO  backup: source /srv/data, target vault-2
2026-03-02 08:31:47 WARN  backup: file /srv/data/mail/archive.db is locked, skipped
2026-03-02 08:52:10 ERROR backup: vault-2 refused the connection: certificate expired on 2026-03-01
2026-03-02 08:52:11 INFO  backup: retry in 600 s
2026-03-02 09:02:13 INFO  backup: fell back to vault-3
2026-03-02 09:41:30 INFO  backup: job nightly finished, 182 GB written
2026-03-02 10:00:00 INFO  cron: rotate logs
2026-03-02 10:00:04 INFO  cron: 14 files rotated
2026-03-02 11:20:19 WARN  disk: /dev/sdb1 is 91 % full
"""

CODE = '''"""Shipping costs of the web shop."""

FREE_FROM = 60.0  # EUR; orders above it are shipped for free
EXPRESS_SURCHARGE = 8.9


def shipping_cost(weight_kg, country, total, express=False):
    """Return the shipping cost of an order in EUR."""
    if total >= FREE_FROM and not express:
        return 0.0
    base = 4.9 if country == "DE" else 11.5
    if weight_kg > 10:
        base += 6.0
    return base + (EXPRESS_SURCHARGE if express else 0.0)


def parse_tracking(number):
    """Return carrier and serial of a tracking number such as "DHX-00042"."""
    carrier, _dash, serial = number.partition("-")
    if len(serial) != 5:
        raise ValueError("a tracking number has five digits")
    return carrier, int(serial)
'''

README = """# tidepool

A small command line tool that renames photographs by the date they were taken.

## Installation

```
pip install tidepool
tidepool --version
```

## Usage

Run `tidepool rename FOLDER`. Nothing is changed unless you add `--apply`.

```
tidepool rename ~/Pictures --pattern "%Y-%m-%d_%H%M" --apply
```

To undo the last run:

```
tidepool undo
```

## Configuration

The file `~/.config/tidepool.toml` is read at start. The default pattern is `%Y%m%d-%H%M%S`.

## Requirements

- Python 3.10 or later
- exiftool 12.40 or later

## Licence

tidepool is published under the MIT licence.
"""
