"""Random inputs for tests of properties: some on each run, thousands in the slow run, and none may hang."""

from __future__ import annotations

import random

import pytest


def seeds(some: int, thousands: int) -> pytest.MarkDecorator:
    """Give a test the parameter `seeds`: a few seeds, or in the slow run many others."""
    many = pytest.param(range(some, thousands), marks=[pytest.mark.slow, pytest.mark.timeout(600)])
    few = pytest.param(range(some), marks=pytest.mark.timeout(120))
    return pytest.mark.parametrize("seeds", [few, many], ids=["some", "thousands"])


def with_damage(content: bytes, seed: int) -> bytes:
    """Change a bit, replace some bytes by others, or cut the end off; at up to three places."""
    generator, damaged = random.Random(seed), bytearray(content)
    for _ in range(generator.randint(1, 3)):
        at = generator.randrange(len(damaged)) if damaged else 0
        match generator.randrange(3):
            case 0:
                damaged[at : at + 1] = bytes(byte ^ 1 << generator.randrange(8) for byte in damaged[at : at + 1])
            case 1:
                damaged[at : at + 20] = generator.randbytes(generator.randint(0, 40))
            case _:
                del damaged[at:]
    return bytes(damaged)
