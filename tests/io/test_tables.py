"""Tables as files."""

from mmagg.io.tables import write_records


def test_a_row_a_record_with_empty_fields_where_it_lacks_a_column(tmp_path):
    path = tmp_path / 'new/table.csv'
    write_records([{'iter': 5, 'loss': 4.0}, {'iter': 10, 'coco/segm_mAP': 0.1, 'kind': None}], path)
    assert path.read_bytes() == b'iter,loss,coco/segm_mAP,kind\r\n5,4.0,,\r\n10,,0.1,\r\n'
    write_records([{'name': 'b\udcff.png'}], path)  # a file whose name is not UTF-8
    assert path.read_bytes() == b'name\r\nb\\udcff.png\r\n'
    write_records([], path)
    assert path.read_bytes() == b'\r\n'
