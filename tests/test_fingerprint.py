from toolkit import fingerprint


def test_key_changes_with_code_and_parameters_only():
    cells = ["from toolkit import accuracy", "1 + 1"]
    key = fingerprint.key(cells, {"seed": 1})
    assert fingerprint.key(list(cells), {"seed": 1}) == key
    assert fingerprint.key([*cells, "2"], {"seed": 1}) != key
    assert fingerprint.key(cells, {"seed": 2}) != key


def test_imports_are_followed_through_the_package():
    files = {
        path.name
        for path in fingerprint.imported("%matplotlib inline\nfrom toolkit import training")
    }
    assert {"training.py", "_torchvision.py", "network.py"} <= files
    assert "book.py" not in files


def test_a_changed_module_changes_the_key_only_where_it_is_imported(tmp_path, monkeypatch):
    package = tmp_path / "toolkit"
    package.mkdir()
    for name, text in {"a": "from . import b", "b": "x = 1", "c": "x = 1"}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    cells = ["import toolkit.a"]
    before = fingerprint.key(cells, {})
    (package / "c.py").write_text("x = 2")
    assert fingerprint.key(cells, {}) == before
    (package / "b.py").write_text("x = 2")
    assert fingerprint.key(cells, {}) != before
