# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive import acl
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.acl import TextAcl

# struct posix_acl_xattr_entry: tag, permissions, id, little endian
WANTED = "0200000001000700ffffffff02000600e803000004000500ffffffff080005000400000010000500ffffffff20000000ffffffff"


@pytest.mark.parametrize(
    "text",
    [
        "user::rwx\nuser:admin:rw-\ngroup::r-x\ngroup:adm:r-x\nmask::r-x\nother::---\n",
        "u::rwx,g::r-x,g:4:r-x,u:1000:rw,m:r-x,o:---",
        "user::rwx,user:gone:rw-:1000,group::r-x,group:adm:r-x:99,mask::r-x,other::---",
        "user::rwx\nuser:admin:rw-\t#effective:r--\ngroup::r-x\ngroup:adm:r-x\nmask::r-x\nother::---",
    ],
)
def test_encodes_every_way_to_write_it(text: str) -> None:
    assert acl.encode(text, {"admin": 1000}, {"adm": 4}).hex() == WANTED


@pytest.mark.parametrize("text", ["user:nobody-here:r--", "owner::rwx", "user::rwz", "mask:name:r--", "user"])
def test_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(ValueError, match="ACL|nobody is called"):
        acl.encode(text, {}, {})


def test_sets_what_it_can_and_tells_of_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nbroken\n")
    (tmp_path / "etc/group").write_text("adm:x:4:\n")
    calls: list[tuple[bytes, str, bool]] = []
    monkeypatch.setattr(
        os, "setxattr", lambda path, name, value, follow_symlinks: calls.append((path, name, follow_symlinks))
    )
    notes = acl.apply(
        tmp_path,
        [TextAcl(b"var/log", "access", "group:adm:r-x"), TextAcl(b"x", "default", "user:ghost:r--")],
    )
    assert calls == [(os.fsencode(tmp_path) + b"/var/log", "system.posix_acl_access", False)]
    assert notes == ["default ACL of 'x' is missing: nobody is called 'ghost' in the restored system"]
