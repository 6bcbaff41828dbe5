//! Types of components, as text.

use wasmtime::Engine;
use wasmtime::component::Type;
use wasmtime::component::types::ComponentItem;

use crate::handler::inspect::MOST;
use crate::text::{LONGEST_NAME, clipped};

/// As WIT writes it; types that have names of their own there as what they are.
pub(super) fn item_type(engine: &Engine, item: &ComponentItem) -> String {
    let text = match item {
        ComponentItem::ComponentFunc(function) => {
            let params: Vec<_> = function
                .params()
                .map(|(name, ty)| format!("{name}: {}", wit_type(&ty, 0)))
                .collect();
            let results: Vec<_> = function.results().map(|ty| wit_type(&ty, 0)).collect();
            match results.is_empty() {
                true => format!("func({})", params.join(", ")),
                false => format!("func({}) -> {}", params.join(", "), results.join(", ")),
            }
        }
        ComponentItem::ComponentInstance(instance) => {
            let items = instance.exports(engine).take(MOST);
            let items = items.filter(|(_, found)| !matches!(found.ty, ComponentItem::Type(_)));
            let names: Vec<_> = items.map(|(name, _)| name).collect();
            format!("interface {{ {} }}", names.join(", "))
        }
        ComponentItem::Resource(_) => "resource".to_owned(),
        ComponentItem::Component(_) => "component".to_owned(),
        ComponentItem::Module(_) => "core module".to_owned(),
        ComponentItem::CoreFunc(_) => "core function".to_owned(),
        ComponentItem::Type(_) => "type".to_owned(),
    };
    clipped(&text, LONGEST_NAME)
}

/// Types within types that are written out.
const DEEPEST: u32 = 4;

fn wit_type(ty: &Type, depth: u32) -> String {
    if depth == DEEPEST {
        return "…".to_owned();
    }
    let inner = |ty: &Type| wit_type(ty, depth + 1);
    let or_nothing = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| inner(&ty));
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(list) => format!("list<{}>", inner(&list.ty())),
        Type::Option(option) => format!("option<{}>", inner(&option.ty())),
        Type::Tuple(tuple) => {
            let types: Vec<_> = tuple.types().take(20).map(|ty| inner(&ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => "result".to_owned(),
            (Some(ok), None) => format!("result<{}>", inner(&ok)),
            (ok, err) => format!("result<{}, {}>", or_nothing(ok), or_nothing(err)),
        },
        Type::Record(_) => "record".to_owned(),
        Type::Variant(_) => "variant".to_owned(),
        Type::Enum(_) => "enum".to_owned(),
        Type::Flags(_) => "flags".to_owned(),
        Type::Own(_) => "resource".to_owned(),
        Type::Borrow(_) => "borrow<resource>".to_owned(),
        Type::Map(_) => "map".to_owned(),
        Type::Future(_) => "future".to_owned(),
        Type::Stream(_) => "stream".to_owned(),
        Type::ErrorContext => "error-context".to_owned(),
        Type::FixedLengthList(_) => "list".to_owned(),
    }
}
