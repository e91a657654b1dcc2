"""The HTTPS endpoint of an integration that accepts new keys."""

import json

from other_servers.https import HttpsServer


class Endpoint(HttpsServer):
    """Keeps the keys it gets, and answers as configured.

    Its answer repeats what it got, which must not be stored either.

    :ivar keys: all keys that were sent to it
    :ivar types: the types of all messages that were sent to it
    :ivar taken: the keys that it may have put into use
    :ivar answers: the statuses of its next answers, None to close the connection
    :ivar answer: the status of all further answers
    :ivar verify: called with a key before the answer
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
        if key is None:  # a test message
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
