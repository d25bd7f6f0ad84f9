"""Plays case 3 of the product document as a client that shares no code with the suite.

It knows the three addresses and a Brand's keys, from a JSON object on standard input, and learns the
contract by reflection alone. It prints what it saw as a JSON object.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
import uuid

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

PATIENCE_SECONDS = 30
SETTING = json.load(sys.stdin)
# In PEM; without one calls are not encrypted.
AUTHORITY = SETTING["authority"].encode() if "authority" in SETTING else None


def connect(address):
    if AUTHORITY is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(AUTHORITY))


class Service:
    """The methods of one service, called with dicts, under one credential."""

    def __init__(self, address, name, token=None):
        self.channel = connect(address)
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.descriptor = pool.FindServiceByName(name)
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def call(self, method, **fields):
        descriptor = self.descriptor.methods_by_name[method]
        request = json_format.ParseDict(
            fields, message_factory.GetMessageClass(descriptor.input_type)()
        )
        response_class = message_factory.GetMessageClass(descriptor.output_type)
        stub = self.channel.unary_unary(
            f"/{self.descriptor.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        response = stub(request, metadata=self.metadata, timeout=10)
        return json_format.MessageToDict(response, preserving_proto_field_name=True)


def fresh():
    return str(uuid.uuid4())


class Shop:
    def __init__(self, setting):
        self.setting = setting
        self.brand_id = setting["brand_id"]
        self.sessions = self.identity("SessionService")

    def identity(self, service, token=None):
        return Service(self.setting["identity"], f"rapport.identity.v1.{service}", token)

    def chat(self, token):
        return Service(self.setting["chat"], "rapport.chat.v1.ChatService", token)

    def attribution(self, service, token):
        return Service(self.setting["attribution"], f"rapport.attribution.v1.{service}", token)

    def sign_in(self, customer_id, temporary=None):
        now = int(time.time())
        document = {
            "brand_id": self.brand_id,
            "customer_id": customer_id,
            "iat": now,
            "exp": now + 300,
        }
        if temporary:
            document["nonce"] = temporary["nonce"]
        text = json.dumps(document)
        secret = base64.b64decode(self.setting["assertion_secret"])
        fields = {
            "brand_id": self.brand_id,
            "signed_user_data": {
                "user_data_json": text,
                "signature": hmac.new(secret, text.encode(), hashlib.sha256).hexdigest(),
            },
            "widget": "WIDGET_COMMUNITY",
            "accepted_widget_policy_version": self.setting["widget_policy_version"],
            "request_id": fresh(),
        }
        if temporary:
            fields["temporary_session_token"] = temporary["session"]["session_token"]
        return self.sessions.call("SignIn", **fields)


def wait_until(what, look):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError(f"waited in vain until {what}")


def open_direct(chat, member_id):
    def look():
        try:
            return chat.call("OpenDirectChatroom", member_id=member_id, request_id=fresh())
        except grpc.RpcError as error:
            # Chat may not have heard of the Member for a moment.
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise

    return wait_until("chat knows the Member", look)["chatroom"]["chatroom_id"]


def say(chat, chatroom_id, text):
    chat.call(
        "SendMessage",
        chatroom_id=chatroom_id,
        message_id=fresh(),
        content={"text": {"text": text}},
    )


def play(setting):
    shop = Shop(setting)
    token = shop.sessions.call(
        "IssueServiceToken", brand_id=shop.brand_id, api_key=setting["api_key"]
    )["access_token"]
    member = shop.identity("AccountService", token).call(
        "CreateMember", display_name="Mia", request_id=fresh()
    )["member"]
    member_session = shop.identity("SessionService", token).call(
        "IssueMemberSession", member_id=member["member_id"], request_id=fresh()
    )["session"]
    member_chat = shop.chat(member_session["access_token"])
    customer_id = f"customer-{fresh()}"

    before = shop.chat(shop.sign_in(customer_id)["session"]["access_token"])
    say(before, open_direct(before, member["member_id"]), "Is anybody there?")

    temporary = shop.sessions.call(
        "StartTemporarySession",
        brand_id=shop.brand_id,
        username="Ann",
        widget="WIDGET_COMMUNITY",
        accepted_widget_policy_version=setting["widget_policy_version"],
        request_id=fresh(),
    )
    temporary_chat = shop.chat(temporary["session"]["access_token"])
    recent = open_direct(temporary_chat, member["member_id"])
    say(temporary_chat, recent, "Does it come in blue?")
    say(member_chat, recent, "It does.")

    signed_in = shop.sign_in(customer_id, temporary)
    client = shop.chat(signed_in["session"]["access_token"])
    chatrooms = client.call("ListChatrooms")["chatrooms"]
    messages = client.call("ListMessages", chatroom_id=recent)["messages"]

    order_id = fresh()
    shop.attribution("OrderService", token).call(
        "RecordOrder",
        order={
            "order_id": order_id,
            "buyer": {"customer_id": customer_id},
            "total": {"currency_code": "EUR", "minor_units": "12000"},
            "status": {"label": "OK"},
        },
        request_id=fresh(),
    )
    attributions = shop.attribution("AttributionService", token)

    def credited():
        attribution = attributions.call("GetAttribution", order_id=order_id)["attribution"]
        credits = attribution.get("credits", [])
        return [credit["member_id"] for credit in credits]

    return {
        "outcome": signed_in["outcome"]["kind"],
        "visitor_chatrooms": len(chatrooms),
        "resumed_first": chatrooms[0]["chatroom_id"] == recent,
        "texts": [message["content"]["text"]["text"] for message in messages],
        "credited": wait_until("the order is credited", credited) == [member["member_id"]],
    }


print(json.dumps(play(SETTING)))
