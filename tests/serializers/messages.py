"""Messages as protoc generates them, of a file that imports another.

// shop/money.proto            // shop/orders.proto
message Money {                message Customer { string name = 1; }
  string currency = 1;         message Order {
  int64 units = 2;               message Line { string name = 1; }
}                                int64 id = 1;
                                 Money total = 2;
                                 repeated Line lines = 3;
                                 map<string, string> tags = 4;
                               }
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
PACKAGE = "aioproducer.tests.shop"
_TYPES = {"string": _Field.TYPE_STRING, "int64": _Field.TYPE_INT64}


def _message(name: str, *fields: tuple[str, str, bool]) -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name=name)
    for number, (field, kind, repeated) in enumerate(fields, 1):
        added = message.field.add(name=field, number=number)
        added.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
        if kind in _TYPES:
            added.type = _TYPES[kind]
        else:
            added.type, added.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    return message


def _files() -> list[descriptor_pb2.FileDescriptorProto]:
    money = descriptor_pb2.FileDescriptorProto(
        name="aioproducer/tests/money.proto", package=PACKAGE, syntax="proto3"
    )
    money.message_type.append(
        _message("Money", ("currency", "string", False), ("units", "int64", False))
    )
    orders = descriptor_pb2.FileDescriptorProto(
        name="aioproducer/tests/orders.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[money.name],
    )
    orders.message_type.append(_message("Customer", ("name", "string", False)))
    order = _message(
        "Order",
        ("id", "int64", False),
        ("total", "Money", False),
        ("lines", "Order.Line", True),
        ("tags", "Order.TagsEntry", True),
    )
    order.nested_type.append(_message("Line", ("name", "string", False)))
    entry = _message("TagsEntry", ("key", "string", False), ("value", "string", False))
    entry.options.map_entry = True
    order.nested_type.append(entry)
    orders.message_type.append(order)
    strict = descriptor_pb2.FileDescriptorProto(
        name="aioproducer/tests/strict.proto", package=PACKAGE, syntax="proto2"
    )
    strict.message_type.append(_message("Strict", ("id", "int64", False)))
    strict.message_type[0].field[0].label = _Field.LABEL_REQUIRED
    return [money, orders, strict]


_pool = descriptor_pool.Default()
for _file in _files():
    _pool.Add(_file)


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


Money, Customer, Order, Line = map(_class, ("Money", "Customer", "Order", "Order.Line"))
Strict = _class("Strict")
