"""Makes ID tokens with PyJWT, a library that is not ours: honest ones, and forged ones.

It reads a JSON object from standard input (`issuer`, `audience`, `now` in seconds, and `elsewhere`, an
address at which nothing may be asked), and prints another: `jwks`, the Brand's public keys; `other_jwks`,
those of another Brand, under the same `kid`s; `honest` and `forged`, tokens by name.
"""

import base64
import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

setting = json.load(sys.stdin)
issuer, audience = setting["issuer"], setting["audience"]
now, elsewhere = setting["now"], setting["elsewhere"]
ABSENT = object()


def make_keys():
    return {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ed": ed25519.Ed25519PrivateKey.generate(),
    }


ALGORITHMS = {"RS256": "rsa", "PS256": "rsa", "ES256": "ec", "EdDSA": "ed"}
own, others = make_keys(), make_keys()


def public_jwk(keys, kid):
    algorithm = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[kid]
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(keys[kid].public_key(), as_dict=True)
    # What a key may be used for is left open, so that the token alone could confuse.
    for member in ["key_ops", "alg", "use"]:
        jwk.pop(member, None)
    return {**jwk, "kid": kid}


def key_set(keys):
    return {"keys": [public_jwk(keys, kid) for kid in keys]}


def changed(fields, changes):
    fields = {**fields, **changes}
    return {name: value for name, value in fields.items() if value is not ABSENT}


CLAIMS = {"iss": issuer, "aud": audience, "sub": "customer", "iat": now, "exp": now + 300}


class Unchecked(jwt.PyJWS):
    """Signs any bytes, so that claims may be what a well-behaved library would not write."""


def token(algorithm="EdDSA", key=None, header=None, payload=None, **claims):
    kid = ALGORITHMS.get(algorithm, "ed")
    key = own[kid] if key is None else key
    payload = json.dumps(changed(CLAIMS, claims)).encode() if payload is None else payload
    headers = changed({"kid": kid}, header or {})
    return Unchecked().encode(payload, key, algorithm=algorithm, headers=headers)


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def with_header(signed, **header):
    """Puts another header before a signed token, without signing it again."""
    old, rest = signed.split(".", 1)
    fields = json.loads(base64.urlsafe_b64decode(old + "=="))
    return encoded(json.dumps(changed(fields, header)).encode()) + "." + rest


def with_secret(secret, kid, algorithm="HS256"):
    """Signs with a public key as if it were a secret; PyJWT itself refuses to, if it sees one."""
    header = encoded(json.dumps({"alg": algorithm, "typ": "JWT", "kid": kid}).encode())
    message = header + "." + encoded(json.dumps(CLAIMS).encode())
    signature = jwt.get_algorithm_by_name(algorithm).sign(message.encode(), secret)
    return message + "." + encoded(signature)


def bent(signed, part, position):
    """Changes one character of a part."""
    parts = signed.split(".")
    character = parts[part][position]
    other = "A" if character != "A" else "B"
    position %= len(parts[part])
    parts[part] = parts[part][:position] + other + parts[part][position + 1 :]
    return ".".join(parts)


honest = {
    **{algorithm: token(algorithm) for algorithm in ALGORITHMS},
    "without typ": token(header={"typ": None}),
    "without kid, where one key is of its kind": token(header={"kid": ABSENT}),
    "one audience in a list": token(aud=[audience]),
    "with azp": token(azp=audience),
    "issued a little ahead": token(iat=now + 20),
}
forged = {}

# Not signed, or not by what it says.
forged["none"] = token("none", key="", header={"kid": ABSENT})
forged["none with kid"] = token("none", key="", header={"kid": "ed"})
for name in ["None", "NONE", "nOnE", ""]:
    forged[f"alg {name!r}"] = with_header(token(), alg=name).rsplit(".", 1)[0] + "."
forged["alg missing"] = with_header(token(), alg=ABSENT)
forged["alg as list"] = with_header(token(), alg=["EdDSA"])
forged["signature cut off"] = token().rsplit(".", 1)[0] + "."
forged["signature and point cut off"] = token().rsplit(".", 1)[0]
forged["signature twice"] = token() + "." + token().rsplit(".", 1)[1]
for algorithm in ALGORITHMS:
    forged[f"{algorithm} with a bent signature"] = bent(token(algorithm), 2, 5)
    forged[f"{algorithm} with bent claims"] = bent(token(algorithm), 1, 20)
forged["ES256 with a signature of zeros"] = (
    token("ES256").rsplit(".", 1)[0] + "." + encoded(bytes(64))
)

# The wrong key, or the right one in the wrong place.
for algorithm, kid in ALGORITHMS.items():
    forged[f"{algorithm} by another Brand's key of the same kid"] = token(
        algorithm, key=others[kid]
    )
    for confused in ALGORITHMS:
        if confused != algorithm:
            forged[f"{algorithm} said to be {confused}"] = with_header(
                token(algorithm), alg=confused
            )
for kid, key in own.items():
    public = key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged[f"HS256 under the PEM of {kid}"] = with_secret(pem, kid)
    jwk = json.dumps(public_jwk(own, kid)).encode()
    forged[f"HS256 under the JWK of {kid}"] = with_secret(jwk, kid)
raw = own["ed"].public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
for algorithm in ["HS256", "HS384", "HS512"]:
    forged[f"{algorithm} under the bytes of ed"] = with_secret(raw, "ed", algorithm)
for algorithm in ["RS384", "RS512", "PS384", "PS512"]:
    forged[f"{algorithm}, which is not allowed"] = token(
        algorithm, key=own["rsa"], header={"kid": "rsa"}
    )

# A header that leads elsewhere.
stranger = others["ed"]
for kid in [elsewhere, "../../etc/passwd", "' OR 1=1 --", "ed\0", "", "k" * 4096]:
    forged[f"kid {kid[:24]!r}"] = token(key=stranger, header={"kid": kid})
forged["kid as a number"] = with_header(token(), kid=7)
forged["no kid, by a stranger"] = token(key=stranger, header={"kid": ABSENT})
for member, value in {
    "jku": elsewhere,
    "x5u": elsewhere,
    "jwk": public_jwk(others, "ed"),
    "x5c": [encoded(b"no certificate")],
    "crit": ["exp"],
}.items():
    forged[f"{member}, by a stranger"] = token(key=stranger, header={member: value})
    forged[f"{member}, by the Brand"] = token(header={member: value})
forged["crit b64"] = token(header={"crit": ["b64"], "b64": False})
forged["typ at+jwt"] = token(header={"typ": "at+jwt"})
forged["a header of 10 kB"] = token(header={"pad": "x" * 10_240})
forged["claims of 10 kB"] = token(pad="x" * 10_240)

# Times.
HOUR = 3_600
for name, claims in {
    "expired": {"iat": now - HOUR, "exp": now - 60},
    "from the future": {"iat": now + 300, "exp": now + HOUR},
    "not before": {"nbf": now + 300},
    "over before it began": {"exp": now - 1, "iat": now},
    "exp missing": {"exp": ABSENT},
    "exp null": {"exp": None},
    "exp as text": {"exp": str(now + HOUR)},
    "exp as list": {"exp": [now + HOUR]},
    "exp true": {"exp": True},
    "exp huge": {"exp": 10**30},
    "exp beyond 64 bits": {"exp": 2**64},
    "exp negative": {"exp": -1},
    "exp as object": {"exp": {}},
    "iat missing": {"iat": ABSENT},
    "iat as text": {"iat": str(now)},
    "iat huge": {"iat": 2**63},
    "nbf as text": {"nbf": str(now)},
    "nbf huge": {"nbf": 10**30},
}.items():
    forged[name] = token(**claims)

# For somebody else.
for name, claims in {
    "issuer with a slash": {"iss": issuer + "/"},
    "issuer in capitals": {"iss": issuer.upper()},
    "issuer as list": {"iss": [issuer]},
    "issuer missing": {"iss": ABSENT},
    "issuer is a stranger's": {"iss": elsewhere},
    "audience missing": {"aud": ABSENT},
    "audience empty": {"aud": []},
    "audience is another": {"aud": "another"},
    "audience and another": {"aud": [audience, "another"], "azp": audience},
    "audience longer": {"aud": audience + " "},
    "audience as object": {"aud": {audience: True}},
    "given to another": {"azp": "another"},
    "nobody": {"sub": ABSENT},
    "nobody of that name": {"sub": ""},
    "a number": {"sub": 7},
    "a list": {"sub": ["customer"]},
    "a name too long": {"sub": "c" * 4_096},
}.items():
    forged[name] = token(**claims)

# What is no token, or is read in two ways.
forged["claims are a list"] = token(payload=b"[]")
forged["claims are a text"] = token(payload=b'"customer"')
forged["claims are nothing"] = token(payload=b"")
forged["claims are no UTF-8"] = token(payload=b'{"sub":"\xff"}')
twice = json.dumps(CLAIMS).replace("{", '{"sub": "another", ', 1).encode()
forged["claims twice"] = token(payload=twice)
forged["claims are deep"] = token(payload=b"[" * 2_000 + b"]" * 2_000)
forged["padded"] = token() + "="
forged["with a line break"] = token() + "\n"
forged["with a space before"] = " " + token()
forged["as JSON"] = json.dumps({"payload": token().split(".")[1], "signatures": []})
forged["five parts"] = "a.b.c.d.e"

json.dump(
    {
        "jwks": key_set(own),
        "other_jwks": key_set(others),
        "honest": honest,
        "forged": forged,
    },
    sys.stdout,
)
