"""Files of tests that are shared out first."""

# They take longest: in this order, so that no process is left with one of them in the end.
LONGEST = (
    'test_configs.py',
    'test_option_rows.py',
    'test_printed_commands.py',
    'test_fuzz.py',
    'test_grid_on_cuda.py',
    'test_boxed_on_cuda.py',
    'test_own_configs.py',
    'test_onnx_export.py',
    'test_make_demo.py',
    'test_train_boxed.py',
    'test_train_a2fpn.py',
    'test_reassembly_triton.py',
    'test_boxes_to_masks_tool.py',
)
# It forks, which is safest in a process without threads of runtimes that other tests load.
FORKING = ('test_forged_pickles.py',)
FIRST = FORKING + LONGEST
