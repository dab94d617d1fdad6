"""A server of records about persons that checks every format itself, as servers in the field do.

Addresses of mail are checked by email-validator, telephone numbers by Google's libphonenumber, numbers with check
digits by python-stdnum, dates by pydantic. What is told to `register` goes to the file `KEPT`, a line each. It knows
nothing of the gateway.
"""

import os
from datetime import date
from typing import Annotated, Callable

import phonenumbers
from fastmcp import FastMCP
from pydantic import AfterValidator, BaseModel, EmailStr, IPvAnyAddress, StringConstraints
from stdnum import iban, luhn
from stdnum.ca import sin
from stdnum.de import idnr
from stdnum.es import dni
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import rtn, ssn

server = FastMCP("records")


def checked(validate: Callable[[str], object], pattern: str):
    """A text that the validator takes, in the layout of the pattern; the pattern is in the schema, too."""

    def check(value: str) -> str:
        validate(value)
        return value

    return Annotated[str, StringConstraints(pattern=pattern), AfterValidator(check)]


def dialled(number: str) -> None:
    if not phonenumbers.is_valid_number(phonenumbers.parse(number)):
        raise ValueError("nobody can be called by this number")


def paid(number: str) -> None:
    luhn.validate(number.replace(" ", ""))


class Bank(BaseModel):
    iban: checked(iban.validate, r"^[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,38}$")
    routing: checked(rtn.validate, r"^[0-9]{9}$")


class Number(BaseModel):
    """What sort of number it is stands in a value and not in a name."""

    kind: Annotated[str, StringConstraints(pattern="^(NHS number|PESEL|Aadhaar)$")]
    value: Annotated[str, StringConstraints(pattern=r"^[0-9 ]{10,14}$")]

    def model_post_init(self, _context) -> None:
        check = {"NHS number": nhs, "PESEL": pesel, "Aadhaar": aadhaar}
        check[self.kind].validate(self.value)


class Person(BaseModel):
    name: Annotated[str, StringConstraints(min_length=2, max_length=80)]
    email: EmailStr
    phones: list[checked(dialled, r"^\+[0-9 ()-]{8,20}$")]
    card: checked(paid, r"^[0-9]{4}( ?[0-9]{4}){3}$")
    ssn: checked(ssn.validate, r"^[0-9]{3}-?[0-9]{2}-?[0-9]{4}$")
    sin: checked(sin.validate, r"^[0-9]{3} ?[0-9]{3} ?[0-9]{3}$")
    dni: checked(dni.validate, r"^[0-9]{8}[A-Z]$")
    personnummer: checked(personnummer.validate, r"^[0-9]{6}-[0-9]{4}$")
    steuer_id: checked(idnr.validate, r"^[0-9]{11}$")
    born: date
    address: IPvAnyAddress
    bank: Bank
    numbers: list[Number]


def record(n: int) -> Person:
    """One of the persons there are; their numbers are published examples."""
    return Person(
        name=["Ann Lee", "Bo Chen"][n],
        email=["ann.lee@clinic.org", "bo+ward@sub.hospital.net"][n],
        phones=[
            ["+1 415-555-2671", "+44 20 7946 0018", "+49 30 901820"],
            ["+33 1 42 68 53 00", "+1 (212) 736-5000", "+44 7400 123456"],
        ][n],
        card=["4111 1111 1111 1111", "5555555555554444"][n],
        ssn=["536-90-4399", "536904399"][n],
        sin=["123 456 782", "130692544"][n],
        dni=["54362315K", "12345678Z"][n],
        personnummer=["880320-0016", "640823-3234"][n],
        steuer_id=["36574261809", "86095742719"][n],
        born=[date(1984, 5, 12), date(2001, 12, 30)][n],
        address=["192.0.2.17", "2001:db8:0:1::17"][n],
        bank=Bank(
            iban=["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19"][n],
            routing=["111000025", "021000021"][n],
        ),
        numbers=[
            Number(kind="NHS number", value=["943 476 5870", "9434765919"][n]),
            Number(kind="PESEL", value=["44051401359", "02070803628"][n]),
            Number(kind="Aadhaar", value=["234123412346", "2341 2341 2346"][n]),
        ],
    )


@server.tool
def look_up(number: int) -> Person:
    """Gives the record of a person."""
    return record(number)


@server.tool
def register(person: Person) -> str:
    """Takes a person in."""
    with open(os.environ["KEPT"], "a", encoding="utf-8") as kept:
        kept.write(person.model_dump_json() + "\n")
    return "registered"


@server.tool
def write(to: EmailStr, letter: str) -> str:
    """Writes to somebody."""
    with open(os.environ["KEPT"], "a", encoding="utf-8") as kept:
        kept.write(f"{to}: {letter}\n")
    return "written"


if __name__ == "__main__":
    server.run(show_banner=False)
