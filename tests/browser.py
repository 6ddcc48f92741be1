"""A browser that tests look at pages with: Chromium without a window, spoken to through pipes."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSERS = 'chromium', 'chromium-browser', 'google-chrome'
QUIET = ['--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync']


def program() -> str | None:
    """The browser that is installed, if any."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Browser:
    """One tab of a browser, which speaks the DevTools protocol: messages of JSON that end with a zero byte."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = os.fdopen(commands, 'wb', buffering=0), os.fdopen(answers, 'rb')
        self.sent, self.session, self.events = 0, None, []
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Network', 'Page', 'Runtime'):
            self.call(f'{domain}.enable')

    def call(self, method: str, **params: Any) -> dict:
        """Its answer to a command; what happens meanwhile is kept in `events`."""
        self.sent += 1
        message = {'id': self.sent, 'method': method, 'params': params}
        message |= {'sessionId': self.session} if self.session else {}
        self.commands.write(json.dumps(message).encode() + b'\0')
        while (answer := self.read()).get('id') != self.sent:
            pass
        assert 'error' not in answer, answer
        return answer['result']

    def read(self) -> dict:
        """The next message."""
        message = bytearray()
        while (byte := self.answers.read(1)) != b'\0':
            assert byte, 'the browser has ended'
            message += byte
        answer = json.loads(message)
        if 'method' in answer:
            self.events.append(answer)
        return answer

    def show(self, url: str, *, size: tuple[int, int], dark: bool) -> list[str]:
        """Opens a page in a window of this size; returns the addresses that it asks for."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=size[0], height=size[1], deviceScaleFactor=1, mobile=size[0] < 600,
        )  # fmt: skip
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self.call('Emulation.setEmulatedMedia', features=[scheme])
        self.events.clear()
        self.call('Page.navigate', url=url)
        while not any(event['method'] == 'Page.loadEventFired' for event in self.events):
            self.read()
        self.run('new Promise(done => setTimeout(done, 500))')  # what scripts do after loading
        return [
            event['params']['request']['url'] for event in self.events if event['method'] == 'Network.requestWillBeSent'
        ]

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self.call('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True)
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Writes what is in the window, or the whole page, as PNG."""
        answer = self.call('Page.captureScreenshot', format='png', captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer['data']))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Starts the browser, which reads commands from descriptor 3 and answers on 4."""
    (read, commands), (answers, write) = os.pipe(), os.pipe()
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read, write)]
    options = ['--headless', '--no-sandbox', '--no-first-run', '--hide-scrollbars', '--remote-debugging-pipe', *QUIET]
    started = ['bash', '-c', f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', 'bash', program(), *options]
    process = subprocess.Popen(
        [*started, f'--user-data-dir={profile}'], pass_fds=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for end in (read, write, *theirs):
        os.close(end)
    opened = Browser(commands, answers)
    try:
        yield opened
    finally:
        opened.commands.close()
        opened.answers.close()
        process.terminate()
        process.wait(30)
