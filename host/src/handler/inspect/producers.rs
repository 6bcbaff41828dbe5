//! The `producers` section: in which language a file was written, and which tools have made it.
//! <https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md>

use wasmparser::ProducersSectionReader;

use crate::text;

/// Entries of each list that are kept.
const MOST: usize = 20;

/// What the section says; nobody checks whether it is true.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    pub(crate) languages: Vec<Tool>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) sdks: Vec<Tool>,
}

/// A language or tool, and its version, which can be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Producers {
    /// Adds what can be read of a section.
    pub(super) fn read(&mut self, section: ProducersSectionReader<'_>) {
        for field in section.into_iter().map_while(Result::ok) {
            let list = match field.name {
                "language" => &mut self.languages,
                "processed-by" => &mut self.tools,
                _ => &mut self.sdks,
            };
            for value in field.values.into_iter().map_while(Result::ok) {
                add(
                    list,
                    Tool {
                        name: text::name(value.name),
                        version: text::name(value.version),
                    },
                );
            }
        }
    }

    /// Adds what another one has and this one has not.
    pub(super) fn join(&mut self, other: &Producers) {
        for (list, others) in [
            (&mut self.languages, &other.languages),
            (&mut self.tools, &other.tools),
            (&mut self.sdks, &other.sdks),
        ] {
            for tool in others {
                add(list, tool.clone());
            }
        }
    }
}

fn add(list: &mut Vec<Tool>, tool: Tool) {
    if list.len() < MOST && !list.contains(&tool) {
        list.push(tool);
    }
}
