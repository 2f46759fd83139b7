//! What the fields of a batch may be, for the OpenAPI document.

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

const NUMBER: &str = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$";

pub(super) fn text() -> RefOr<Schema> {
    string().min_length(Some(1)).max_length(Some(64)).into()
}

pub(super) fn moment() -> RefOr<Schema> {
    either(string().into(), integer().into())
}

pub(super) fn offset() -> RefOr<Schema> {
    integer().minimum(Some(-50_400)).maximum(Some(50_400)).into()
}

pub(super) fn price() -> RefOr<Schema> {
    let decimal = SchemaFormat::Custom("decimal".to_owned());
    let number = ObjectBuilder::new().schema_type(Type::Number).format(Some(decimal));
    either(number.into(), string().pattern(Some(NUMBER)).into())
}

pub(super) fn ticks() -> RefOr<Schema> {
    either(integer().minimum(Some(0)).into(), string().pattern(Some(NUMBER)).into())
}

pub(super) fn flag() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).into()
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn integer() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
}

fn either(one: RefOr<Schema>, other: RefOr<Schema>) -> RefOr<Schema> {
    OneOfBuilder::new().item(one).item(other).into()
}
