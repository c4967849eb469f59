"""A service that scores what is posted to it, with the standard library alone.

python examples/2_service.py 8000
curl --data-binary @film.mp4 http://127.0.0.1:8000
"""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cvqa_models

scorer = cvqa_models.load("compression_level")


class Service(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        video = io.BytesIO(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            code, answer = 200, {"score": scorer(video).value, "scale": scorer.scale}
        except ValueError as error:
            code, answer = 422, {"error": str(error)}
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
