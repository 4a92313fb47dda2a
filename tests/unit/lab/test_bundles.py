# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bundles of the tests: what a later version is made of."""

from __future__ import annotations

from tests.lab import bundles, converted


def test_later_versions_differ_in_version_and_file_alone() -> None:
    first, second, third = (bundles.RECIPES[name] for name in ("debian13-va", "debian13-va-2", "debian13-va-3"))
    assert (second.suite, second.layout, second.network, second.base) == ("trixie", "va", "networkd", "debian13-va")
    assert second.variables["dualroot_build_version"] == "2" and third.variables["dualroot_build_version"] == "3"
    assert (second.files, third.files) == ({"etc/lab-version": "2\n"}, {"etc/lab-version": "3\n"})
    assert not first.files


def test_broken_versions_are_newer_than_the_good_ones() -> None:
    for kind, files in bundles.BROKEN.items():
        recipe = bundles.RECIPES[f"debian13-va-{kind}"]
        assert recipe.variables["dualroot_build_version"] == "4"
        assert files.items() <= recipe.files.items()


def test_every_conversion_has_an_image_and_a_bundle() -> None:
    for conversion in converted.CONVERSIONS.values():
        assert conversion.bundle in bundles.RECIPES
        assert conversion.image in converted.RECIPES
