"""Calls a method for the suite alone with several certificates, and with none.

It takes a JSON object on standard input: an address, the authority that its server's certificate is
signed by, another authority, and certificates with their keys by name, all in PEM. It prints how
each call ended as a JSON object.
"""

import json
import sys

import grpc

METHOD = "/rapport.identity.v1.LinkService/ResolvePerson"


def code(channel):
    """Returns how an empty request is answered."""
    with channel:
        method = channel.unary_unary(METHOD)
        try:
            method(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def main():
    setting = json.load(sys.stdin)
    address = setting["address"]
    authority = setting["authority"].encode()

    def encrypted(root, key=None, chain=None):
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(root, key, chain))

    seen = {
        name: code(encrypted(authority, key.encode(), chain.encode()))
        for name, (chain, key) in setting["certificates"].items()
    }
    seen["without"] = code(encrypted(authority))
    seen["strange server"] = code(encrypted(setting["strange_authority"].encode()))
    seen["not encrypted"] = code(grpc.insecure_channel(address))
    json.dump(seen, sys.stdout)


main()
