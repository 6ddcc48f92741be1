"""Try a model on images, on a page in a browser."""

import argparse
import threading

from mmagg.cli.arguments import MODEL, Intermixed, add_model_options, add_runtime, add_weights, positive

LOCAL = '127.0.0.1', 'localhost', '::1'


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/serve.py``."""
    parser = Intermixed(description='Serve a page on which a model is tried on images; Ctrl-C ends it.')
    parser.add_argument('config', nargs='?', help=f'{MODEL}; needless for a --weights NAME, which has its own')
    parser.add_argument('checkpoint', nargs='?', help='.pth file')
    add_weights(parser, 'instead of a checkpoint:')
    parser.add_argument(
        '--host', default=LOCAL[0], help='address to listen on (%(default)s, which no other machine reaches)'
    )
    parser.add_argument('--port', type=positive, help='port to listen on (the first free one from 7860)')
    parser.add_argument(
        '--max-upload', type=positive, default=64, metavar='MB', help='largest file of an image (%(default)s)'
    )
    add_model_options(parser)
    add_runtime(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Run as the arguments of `parser` say, until a signal comes."""
    from mmagg.apis.page import check_port, gradio, serving

    gradio()
    if args.port is not None:
        check_port(args.host, args.port)
    from mmagg.apis.segmenter import Segmenter

    segmenter = Segmenter(
        args.config,
        args.checkpoint,
        weights=args.weights,
        device=args.device,
        cfg_options=args.cfg_options,
        trust_checkpoint=args.trust_checkpoint,
        runtime=args.runtime,
    )
    title = str(args.weights or args.config)
    with serving(segmenter, host=args.host, port=args.port, upload=args.max_upload, title=title) as address:
        if args.host.strip('[]') not in LOCAL:
            print('everybody who reaches this machine can use the page: there is no password')
        print(f'{address} (Ctrl-C ends it)', flush=True)
        threading.Event().wait()
