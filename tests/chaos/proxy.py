#!/usr/bin/env python3
"""Stands between the connector and an honest receiver, and spoils some of the answers.

    python3 tests/chaos/proxy.py HTTP_PORT TO_PORT FAULT SHARE COUNT_FILE

Speaks HTTP/1.1 with a `Content-Length`, as the connector does. Of the faults that lie (`garbage`, `short`, …) the request never
reaches the receiver, so that a connector which took one for a confirmation would lose the record, and the account would show it.
COUNT_FILE always
holds the number of answers that were spoiled. With h2 in its name the proxy passes HTTP/2 frames on as they are, and puts frames of its own between them.
"""

import asyncio
import os
import random
import socket
import struct
import sys

LINGER_NONE = struct.pack("ii", 1, 0)
HUGE = b"x" * 65536


class Count:
    """How often something was spoiled, for whoever reads the file."""

    def __init__(self, path):
        self.file, self.count = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644), 0

    def add(self):
        self.count += 1
        os.pwrite(self.file, str(self.count).encode(), 0)


def reset(writer):
    """Closes with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    writer.transport.abort()


async def head_of(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line.split(b":", 1)[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
    return head, int(length)


async def slowly(writer, text, every=0.3):
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(every)


async def spoil(fault, writer):
    """An answer that confirms nothing; ends the connection, but for answers that are whole."""
    ok = b"HTTP/1.1 200 OK\r\n"
    if fault == "garbage":
        writer.write(random.choice([b"\x00\xff" * 40, b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 2OO OK\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n"]))
    elif fault == "short":
        writer.write(ok + b"Content-Length: 100\r\n\r\nonly this")
    elif fault == "two-lengths":
        writer.write(ok + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
    elif fault == "half-head":
        writer.write(ok + b"Content-Le")
    elif fault == "huge-head":
        writer.write(ok + b"X-Padding: ")
        for _ in range(64):
            writer.write(HUGE)
            await writer.drain()
    elif fault == "endless-headers":
        writer.write(ok)
        for number in range(200_000):
            writer.write(b"X-%d: y\r\n" % number)
            if number % 1000 == 0:
                await writer.drain()
    elif fault == "informational":
        # 1xx without an end.
        for _ in range(5_000):
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await writer.drain()
    elif fault == "slow-loris":
        await slowly(writer, ok)
    elif fault == "liar":
        # No defence: it says that it has the record.
        writer.write(ok + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    elif fault == "rst":
        return reset(writer)
    elif fault == "hang":
        await asyncio.sleep(60)
    await writer.drain()
    writer.close()


async def huge_body(writer):
    """A refusal with gigabytes of words, until nobody listens any more."""
    writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 4000000000\r\n\r\n")
    for _ in range(61_000):
        writer.write(HUGE)
        await writer.drain()
    writer.close()


async def bomb(writer):
    """Ten kilobytes that would be ten megabytes."""
    import gzip
    body = gzip.compress(b"\0" * 10_000_000)
    writer.write(b"HTTP/1.1 503 Busy\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


class Http1:
    def __init__(self, to, fault, share, count):
        self.to, self.fault, self.share, self.count = to, fault, share, count

    async def serve(self, reader, writer):
        onward = None
        try:
            while True:
                head, length = await head_of(reader)
                body = await reader.readexactly(length)
                if random.random() < self.share:
                    self.count.add()
                    if self.fault == "huge-answer":
                        return await huge_body(writer)
                    if self.fault == "gzip-bomb":
                        await bomb(writer)
                        continue
                    if self.fault != "close-after":
                        return await spoil(self.fault, writer)
                    # The receiver has it, and nobody says so.
                    onward = await self.forward(onward, head, body)
                    await head_of(onward[0])
                    return writer.close()
                onward = await self.forward(onward, head, body)
                answer, length = await head_of(onward[0])
                writer.write(answer + await onward[0].readexactly(length))
                await writer.drain()
        except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            if onward:
                onward[1].close()

    async def forward(self, onward, head, body):
        onward = onward or await asyncio.open_connection("127.0.0.1", self.to)
        onward[1].write(head + body)
        await onward[1].drain()
        return onward


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Http2:
    """Frames of the receiver as they are, and now and then one that it never sent."""

    def __init__(self, to, fault, share, count):
        self.to, self.fault, self.share, self.count = to, fault, share, count

    async def serve(self, reader, writer):
        onward = await asyncio.open_connection("127.0.0.1", self.to)
        passing = asyncio.ensure_future(self.pass_requests(reader, onward[1]))
        try:
            first = True
            while True:
                head = await onward[0].readexactly(9)
                payload = await onward[0].readexactly(int.from_bytes(head[:3], "big"))
                stream = int.from_bytes(head[5:], "big")
                writer.write(head + payload)
                # Behind the receiver's settings, which come first by the protocol.
                if not first and stream and random.random() < self.share and await self.intrude(writer, stream):
                    return
                first = False
                await writer.drain()
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass
        finally:
            passing.cancel()
            writer.close()
            onward[1].close()

    async def pass_requests(self, reader, onward):
        try:
            while data := await reader.read(65536):
                onward.write(data)
                await onward.drain()
        except OSError:
            pass
        onward.close()

    async def intrude(self, writer, stream):
        """True when it was the end of the connection."""
        self.count.add()
        number = lambda value: value.to_bytes(4, "big")
        if self.fault == "h2-goaway":
            # What came later was not processed, it says; the receiver has it all the same.
            writer.write(frame(7, 0, 0, number(stream) + number(0)))
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.close()
            return True
        if self.fault == "h2-calm":
            writer.write(frame(7, 0, 0, number(stream) + number(11) + b"too_many_pings"))
        elif self.fault == "h2-reset":
            writer.write(frame(3, 0, stream + 2 * random.randrange(1, 8), number(random.choice([7, 8, 2, 11]))))
            return False
        elif self.fault == "h2-garbage":
            writer.write(random.choice([b"\xff" * 64, frame(1, 4, stream + 2, b"\x80\x80\x80"), frame(0, 8, stream, b"\xff" + b"x" * 10),
                                        frame(5, 4, stream, number(2) + b"\x82"), frame(8, 0, 0, number(0)), frame(4, 0, 0, b"12345")]))
        elif self.fault == "h2-flood":
            for _ in range(20_000):
                writer.write(frame(6, 0, 0, b"12345678") + frame(4, 0, 0, b""))
        elif self.fault == "h2-continuation":
            writer.write(frame(1, 0, stream + 2, b"\x88"))
            for _ in range(5_000):
                writer.write(frame(9, 0, stream + 2, b"\x00\x01a\x01b" * 100))
                if writer.is_closing():
                    break
        elif self.fault == "h2-settings":
            # Nothing may be sent any more, for a while.
            writer.write(frame(4, 0, 0, b"\x00\x03" + number(0)))
            await writer.drain()
            await asyncio.sleep(0.5)
            writer.write(frame(4, 0, 0, b"\x00\x03" + number(100)))
            return False
        elif self.fault == "h2-rst":
            reset(writer)
            return True
        await writer.drain()
        writer.close()
        return True


async def main():
    port, to, fault, share = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    random.seed(1)
    peer = (Http2 if fault.startswith("h2") else Http1)(to, fault, share, Count(sys.argv[5]))
    server = await asyncio.start_server(peer.serve, "127.0.0.1", port, backlog=1024, limit=1 << 24)
    async with server:
        await server.serve_forever()


asyncio.run(main())
