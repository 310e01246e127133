"""Named areas for the area map: continents, oceans, regions and large countries, as boxes in whole degrees. No Tk.

The boxes contain the land or sea that people usually mean, rounded outwards;
distant islands and overseas territories are left out. China ends at 135 E, as in most requests. They say
nothing about borders.
"""

from __future__ import annotations

from dataclasses import dataclass

from era5dl.gui.text.i18n import N_, translate
from era5dl.subset.selection import Area


@dataclass(frozen=True, slots=True)
class AreaPreset:
    """An area with its name in English, which is translated for display."""

    english: str
    area: Area

    @property
    def name(self) -> str:
        """The name in the current language."""
        return translate(self.english)


def presets() -> tuple[AreaPreset, ...]:
    """Return all areas: continents and regions, oceans, and countries by the alphabet."""
    return _PRESETS


def find_presets(text: str) -> list[AreaPreset]:
    """Return the areas with this text in their name, English or translated; those that begin with it first."""
    wanted = text.strip().casefold()
    found = [one for one in _PRESETS if any(wanted in name.casefold() for name in (one.english, one.name))]
    return sorted(found, key=lambda one: not any(n.casefold().startswith(wanted) for n in (one.english, one.name)))


def preset_of(area: Area | None) -> AreaPreset | None:
    """Return the preset with exactly this area, or None."""
    return next((one for one in _PRESETS if one.area == area), None)


_PRESETS = tuple(
    AreaPreset(name, Area(*edges))
    for name, edges in (
        # continents and regions: north, west, south, east
        (N_("Africa"), (38, -19, -36, 52)),
        (N_("Antarctica"), (-60, -180, -90, 180)),
        (N_("Arctic"), (90, -180, 66, 180)),
        (N_("Asia"), (82, 25, -12, 180)),
        (N_("Australia and Oceania"), (0, 110, -50, 180)),
        (N_("Central America and Caribbean"), (33, -118, 7, -59)),
        (N_("East Asia"), (54, 73, 17, 146)),
        (N_("Europe"), (72, -25, 34, 45)),
        (N_("Mediterranean"), (47, -10, 30, 42)),
        (N_("Middle East"), (43, 25, 12, 64)),
        (N_("North America"), (84, -170, 7, -50)),
        (N_("Northern Hemisphere"), (90, -180, 0, 180)),
        (N_("Sahel"), (20, -18, 10, 40)),
        (N_("South America"), (13, -82, -56, -34)),
        (N_("South Asia"), (38, 60, 5, 98)),
        (N_("Southeast Asia"), (29, 92, -11, 142)),
        (N_("Southern Hemisphere"), (0, -180, -90, 180)),
        (N_("Tibetan Plateau"), (41, 73, 25, 105)),
        (N_("Tropics"), (24, -180, -24, 180)),
        # oceans
        (N_("Arctic Ocean"), (90, -180, 70, 180)),
        (N_("Indian Ocean"), (31, 20, -60, 120)),
        (N_("North Atlantic"), (68, -98, 0, 10)),
        (N_("North Pacific"), (66, 120, 0, -100)),
        (N_("Northwest Pacific (typhoons)"), (50, 100, 0, 180)),
        (N_("South Atlantic"), (0, -70, -60, 20)),
        (N_("South China Sea"), (25, 105, 0, 122)),
        (N_("South Pacific"), (0, 140, -60, -70)),
        (N_("Southern Ocean"), (-40, -180, -78, 180)),
        # countries
        (N_("Algeria"), (38, -9, 18, 12)),
        (N_("Argentina"), (-21, -74, -56, -53)),
        (N_("Australia"), (-9, 112, -44, 155)),
        (N_("Bolivia"), (-9, -70, -23, -57)),
        (N_("Brazil"), (6, -75, -34, -34)),
        (N_("Canada"), (84, -142, 41, -52)),
        (N_("Chile"), (-17, -77, -57, -66)),
        (N_("China"), (54, 73, 18, 135)),
        (N_("Colombia"), (13, -80, -5, -66)),
        (N_("Congo (Democratic Republic)"), (6, 12, -14, 32)),
        (N_("Egypt"), (32, 24, 21, 37)),
        (N_("Ethiopia"), (15, 32, 3, 49)),
        (N_("Finland"), (71, 19, 59, 32)),
        (N_("France"), (52, -6, 41, 10)),
        (N_("Germany"), (56, 5, 47, 16)),
        (N_("Greenland"), (84, -75, 59, -10)),
        (N_("India"), (38, 68, 6, 98)),
        (N_("Indonesia"), (7, 94, -12, 142)),
        (N_("Iran"), (40, 44, 25, 64)),
        (N_("Iraq"), (38, 38, 29, 49)),
        (N_("Italy"), (48, 6, 35, 19)),
        (N_("Japan"), (46, 122, 24, 147)),
        (N_("Kazakhstan"), (56, 46, 40, 88)),
        (N_("Kenya"), (6, 33, -5, 42)),
        (N_("Korea"), (44, 124, 33, 132)),
        (N_("Libya"), (34, 9, 19, 26)),
        (N_("Madagascar"), (-11, 43, -26, 51)),
        (N_("Malaysia"), (8, 99, 0, 120)),
        (N_("Mexico"), (33, -119, 14, -86)),
        (N_("Mongolia"), (53, 87, 41, 120)),
        (N_("Morocco"), (36, -14, 27, -1)),
        (N_("Myanmar"), (29, 92, 9, 102)),
        (N_("New Zealand"), (-34, 166, -48, 179)),
        (N_("Nigeria"), (14, 2, 4, 15)),
        (N_("Norway"), (72, 4, 57, 32)),
        (N_("Pakistan"), (38, 60, 23, 78)),
        (N_("Peru"), (1, -82, -19, -68)),
        (N_("Philippines"), (22, 116, 4, 127)),
        (N_("Poland"), (55, 14, 49, 25)),
        (N_("Russia"), (82, 19, 41, -169)),
        (N_("Saudi Arabia"), (33, 34, 16, 56)),
        (N_("South Africa"), (-22, 16, -35, 33)),
        (N_("Spain"), (44, -10, 35, 5)),
        (N_("Sudan"), (23, 21, 8, 39)),
        (N_("Sweden"), (70, 10, 55, 25)),
        (N_("Tanzania"), (-0.5, 29, -12, 41)),
        (N_("Thailand"), (21, 97, 5, 106)),
        (N_("Turkey"), (43, 25, 35, 45)),
        (N_("Ukraine"), (53, 22, 44, 41)),
        (N_("United Kingdom and Ireland"), (61, -11, 49, 2)),
        (N_("USA (contiguous)"), (50, -125, 24, -66)),
        (N_("USA (Alaska)"), (72, -170, 51, -129)),
        (N_("Venezuela"), (13, -74, 0, -59)),
        (N_("Vietnam"), (24, 102, 8, 110)),
    )
)
