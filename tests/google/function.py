"""A function behind the judgement that Google puts before functions: `google-auth` verifies the identity token.

Environment: AUDIENCE of the service, CERTS where the public keys are, INVOKERS who may call it (subjects or e-mail addresses),
and that of `processing.py`.
"""

import os

import functions_framework
from google.auth.transport.requests import Request
from google.oauth2 import id_token
from processing import take


@functions_framework.http
def records(request):
    # What is meant for the service itself stays in `Authorization`.
    token = request.headers.get("X-Serverless-Authorization") or request.headers.get("Authorization", "")
    try:
        claims = id_token.verify_token(
            token.removeprefix("Bearer "), Request(), audience=os.environ["AUDIENCE"], certs_url=os.environ["CERTS"]
        )
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a token, it is not taken
        print("refused:", type(error).__name__, flush=True)
        return "", 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    if not {claims.get("email"), claims["sub"]} & set(os.environ["INVOKERS"].split()):
        return "", 403
    if "X-Serverless-Authorization" in request.headers:
        assert request.headers["Authorization"] == os.environ["OWN"], "the service's own header arrives as it is"
    status, headers, answer = take(request.get_data())
    return answer, status, headers
