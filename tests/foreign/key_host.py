"""Publishes a Brand's keys over HTTPS, as a web server that shares no code with the suite.

It takes a JSON object on standard input: a folder for its certificate authority, and the claims of a
token. It prints a line of JSON with its address, the authority's file and the signed token, and
serves until it is ended.
"""

import datetime
import http.server
import ipaddress
import json
import pathlib
import ssl
import sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY_ID = "published"


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, issuer, public_key, signer, is_authority):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        names = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def make_certificates(folder):
    """Returns the files of the authority and of the server's certificate with its key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    authority = certificate(
        "Test authority", "Test authority", authority_key.public_key(), authority_key, True
    )
    server = certificate("localhost", "Test authority", key.public_key(), authority_key, False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority_file = folder / "authority.pem"
    server_file = folder / "server.pem"
    authority_file.write_bytes(authority.public_bytes(pem))
    server_file.write_bytes(private + server.public_bytes(pem))
    return authority_file, server_file


def serve(server_file, key_set):
    """Returns a server on a free port that answers every request with the key set."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "application/jwk-set+json")
            self.send_header("content-length", str(len(key_set)))
            self.end_headers()
            self.wfile.write(key_set)

        def log_message(self, *arguments):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def main():
    setting = json.loads(sys.stdin.readline())
    authority_file, server_file = make_certificates(pathlib.Path(setting["folder"]))
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    public |= {"kid": KEY_ID, "alg": "ES256", "use": "sig"}
    server = serve(server_file, json.dumps({"keys": [public]}).encode())
    token = jwt.encode(setting["claims"], key, algorithm="ES256", headers={"kid": KEY_ID})
    print(
        json.dumps(
            {
                "uri": f"https://localhost:{server.server_port}/keys",
                "authority_file": str(authority_file),
                "id_token": token,
            }
        ),
        flush=True,
    )
    server.serve_forever()


main()
