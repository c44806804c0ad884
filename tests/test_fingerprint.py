from toolkit import fingerprint


def test_key_changes_with_code_and_parameters_only():
    cells = ["from toolkit import accuracy", "1 + 1"]
    key = fingerprint.key(cells, {"seed": 1})
    assert fingerprint.key(list(cells), {"seed": 1}) == key
    assert fingerprint.key([*cells, "2"], {"seed": 1}) != key
    assert fingerprint.key(cells, {"seed": 2}) != key


def test_imports_are_followed_through_the_package():
    files = {path.name for path in fingerprint.imported("from toolkit import training")}
    assert {"training.py", "_torchvision.py", "network.py"} <= files
    assert "book.py" not in files


def test_a_changed_module_changes_the_key_only_where_it_is_imported(tmp_path, monkeypatch):
    package = tmp_path / "toolkit"
    package.mkdir()
    for name, text in {"a": "from . import b", "b": "x = 1", "c": "x = 1"}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr("toolkit.catalog.path", lambda: package / "c.py")
    cells = ["import toolkit.a"]
    before = fingerprint.key(cells, {})
    (package / "d.py").write_text("x = 2")
    assert fingerprint.key(cells, {}) == before
    (package / "b.py").write_text("x = 2")
    assert fingerprint.key(cells, {}) != before


def test_magics_and_continuation_lines_are_no_stumbling_block():
    cells = ["%matplotlib inline", "x = 7\ny = (x\n     % 3)", "!ls"]
    assert len(fingerprint.key(cells, {})) == 12


def test_plain_import_counts_the_whole_package():
    names = {path.name for path in fingerprint.imported("import toolkit")}
    assert {"sweeps.py", "fcn.py", "papers.yaml", "house.mplstyle"} <= names


def test_style_of_the_figures_counts():
    names = {path.name for path in fingerprint.imported("from toolkit import maps")}
    assert "house.mplstyle" in names


def test_a_changed_catalogue_changes_the_key(tmp_path, monkeypatch):
    catalogue = tmp_path / "data_catalog.yaml"
    catalogue.write_text("a: 1")
    monkeypatch.setattr("toolkit.catalog.path", lambda: catalogue)
    before = fingerprint.key(["1"], {})
    catalogue.write_text("a: 2")
    assert fingerprint.key(["1"], {}) != before


def test_a_changed_record_changes_the_key(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    record = tmp_path / "results" / "sweep.csv"
    cells = ['table = runs.results("sweep")']
    assert fingerprint.recorded(cells[0]) == set()
    record.write_text("a\n1\n")
    before = fingerprint.key(cells, {})
    record.write_text("a\n2\n")
    assert fingerprint.key(cells, {}) != before
