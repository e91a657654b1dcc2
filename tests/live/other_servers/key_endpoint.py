"""The HTTPS endpoint of an integration that takes new keys."""

import json

from other_servers.https import HttpsServer


class Endpoint(HttpsServer):
    """Keeps the keys it gets, and answers as told.

    Its answer repeats what it got: nobody may keep that either.

    :ivar keys: all that were sent to it
    :ivar types: of all messages that were sent to it
    :ivar taken: those that it may have put into use
    :ivar answers: the statuses of its next answers, None to hang up
    :ivar answer: the status of all further ones
    :ivar verify: what it does with a key before it answers
    """

    def __init__(self, folder):
        self.keys, self.taken, self.answers, self.answer = [], [], [], 200
        self.types = []
        self.verify = None
        super().__init__(folder, "/keys")

    def respond(self, request, body):
        message = json.loads(body)
        self.types.append(message["type"])
        key = message["data"].get("key")
        if key is None:  # a test
            request.send_response(self.answer)
            request.end_headers()
            return
        self.keys.append(key)
        if self.verify:
            self.verify(key)
        answer = self.answers.pop(0) if self.answers else self.answer
        if answer is None or not 400 <= answer < 500:
            self.taken.append(key)
        if answer is None:
            request.connection.close()
            return
        request.send_response(answer, body.decode())
        request.end_headers()
        request.wfile.write(body)
