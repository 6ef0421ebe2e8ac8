//! Resources that are bytes already, and manifests made of them.

use std::io::{self, Write};

use super::encode::{EncodeError, Form, check_form, encode_header, encode_resource, put, section};
use super::model::{Manifest, Resource};
use super::record::{Section, manifest_field};

/// A resource as it stands in a manifest. It takes a third of the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    section: Section,
    bytes: Box<[u8]>,
}

impl Resource {
    /// The bytes of this resource alone.
    ///
    /// # Errors
    /// Only in the compatible form; see [`EncodeError`].
    pub fn encode(&self, form: Form) -> Result<Encoded, EncodeError> {
        if form == Form::Compat {
            check_form(self)?;
        }
        let section = section(self);
        let number = match section {
            Section::Special => manifest_field::SPECIAL,
            Section::Resource | Section::Root => manifest_field::RESOURCE,
        };
        let mut bytes = Vec::new();
        put(number, &encode_resource(self, form), &mut bytes);
        Ok(Encoded {
            section,
            bytes: bytes.into_boxed_slice(),
        })
    }
}

impl Manifest {
    /// Writes the manifest, with resources that were encoded in the same form, in
    /// the order of their first paths, instead of its own.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn write_encoded<'a>(
        &self,
        form: Form,
        resources: impl Iterator<Item = &'a Encoded> + Clone,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut write = |wanted| {
            let mut resources = resources.clone().filter(|one| one.section == wanted);
            resources.try_for_each(|one| out.write_all(&one.bytes))
        };
        write(Section::Resource)?;
        if form == Form::Compat {
            return Ok(());
        }
        out.write_all(&encode_header(self))?;
        let mut specials = resources.filter(|one| one.section == Section::Special);
        specials.try_for_each(|one| out.write_all(&one.bytes))?;
        out.write_all(&self.carried.unknown)
    }
}
