"""Receivers of alerts: a real SMTP server, and a real webhook over HTTPS."""

import email
import email.policy
import threading
import time

from aiosmtpd.controller import Controller

from dev.common import free_port
from other_servers.https import HttpsServer


class Mailbox:
    """An SMTP server that keeps the messages it accepts.

    :ivar messages: pairs of the time of arrival and the message
    :ivar before_answer: called once, with a message before it is acknowledged
    :ivar refuses: whether it refuses every message
    """

    def __init__(self, port=None):
        self.messages, self.before_answer, self.refuses = [], None, False
        self._arrival = threading.Condition()
        mailbox = self

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                if mailbox.refuses:
                    return "554 no"
                message = email.message_from_bytes(envelope.content, policy=email.policy.default)
                message.recipients = envelope.rcpt_tos
                with mailbox._arrival:
                    mailbox.messages.append((time.time(), message))
                    mailbox._arrival.notify_all()
                if hook := mailbox.before_answer:
                    mailbox.before_answer = None
                    hook(message)
                return "250 OK"

        self.port = port or free_port()
        self._controller = Controller(Handler(), hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def to(self, address, subject=""):
        """Return all messages to an address whose subject contains a text."""
        return [
            (at, message) for at, message in self.messages
            if address in message.recipients and subject in message["Subject"]
        ]

    def wait_for(self, address, subject="", count=1, timeout=120):
        """Wait for messages and return them.

        :raise AssertionError: they did not arrive in time
        """
        deadline = time.monotonic() + timeout
        with self._arrival:
            while len(found := self.to(address, subject)) < count:
                left = deadline - time.monotonic()
                assert left > 0, [(m.recipients, m["Subject"]) for _at, m in self.messages]
                self._arrival.wait(left)
        return found

    def close(self):
        self._controller.stop()


class Webhook(HttpsServer):
    """An HTTPS server that keeps what is posted to it.

    :ivar posts: headers and body of each message, as text
    :ivar answer: the status of its responses
    """

    def __init__(self, folder):
        self.posts, self.answer = [], 200
        super().__init__(folder, "/alerts")

    def respond(self, request, body):
        self.posts.append((dict(request.headers), body.decode()))
        request.send_response(self.answer)
        request.end_headers()

    def wait_for(self, count, timeout=60):
        """Wait until this many messages have arrived, and return all of them."""
        deadline = time.monotonic() + timeout
        while len(self.posts) < count:
            assert time.monotonic() < deadline, self.posts
            time.sleep(0.1)
        return self.posts
