//! One message being written.
//!
//! Owns octets and counts: whole RRsets within the size limit, TC (RFC 2181, 9), name compression (RFC 1035,
//! 4.1.4), and OPT behind the records (RFC 6891, 6.1.1). Chooses no record and no header bit but TC.

use bytes::{BufMut, BytesMut};

use crate::answer::{ExtendedError, ResponseCode};
use crate::rdata::{Field, layout};
use crate::rrset::{RdataList, RecordType};
use crate::settings::Settings;
use crate::wire::compress::Compressor;
use crate::wire::edns::{EXTENDED_ERROR_SIZE, OPT_SIZE, pad, write_opt};
use crate::wire::encode::view::{Head, RrsetView};
use crate::wire::flags::{self, QUESTION_AT, put_header};

/// A message being written.
pub(crate) struct Writer<'o, 'h> {
    out: &'o mut BytesMut,
    start: usize,
    head: &'h Head<'h>,
    settings: &'h Settings,
    compressor: Option<Compressor>,
    counts: [u16; 3],
    /// Where records must end, so that OPT fits behind them.
    records_end_max: usize,
    truncated: bool,
    full: bool,
}

impl<'o, 'h> Writer<'o, 'h> {
    /// Puts the question in, and leaves room for the header and for OPT; `with_error` where an extended error comes.
    pub(crate) fn begin(
        out: &'o mut BytesMut,
        head: &'h Head<'h>,
        settings: &'h Settings,
        with_error: bool,
    ) -> Self {
        let start = out.len();
        out.put_slice(&[0; QUESTION_AT]);
        out.put_slice(head.spelling);
        out.put_u16(head.record_type.0);
        out.put_u16(head.class.0);
        let mut opt = 0;
        if let Some(edns) = head.edns {
            opt += OPT_SIZE;
            opt += if with_error { EXTENDED_ERROR_SIZE } else { 0 };
            opt += if edns.padding { 4 } else { 0 };
        }
        Self {
            out,
            start,
            head,
            settings,
            compressor: None,
            counts: [0; 3],
            records_end_max: start + usize::from(head.size_limit).saturating_sub(opt),
            truncated: false,
            full: false,
        }
    }

    /// Writes one RRset into a section, whole or not at all.
    pub(crate) fn set(&mut self, section: usize, set: &RrsetView<'_>, signatures: bool) {
        if self.full {
            self.truncated |= section < 2;
            return;
        }
        let end = self.out.len();
        let mark = self.compressor.as_ref().map(Compressor::mark);
        let mut count = 0u16;
        for rdata in RdataList::items(set.rdata) {
            self.record(set, set.record_type, rdata);
            count = count.saturating_add(1);
        }
        if signatures {
            for rdata in RdataList::items(set.signatures) {
                self.record(set, RecordType::RRSIG, rdata);
                count = count.saturating_add(1);
            }
        }
        let fits = self.out.len() <= self.records_end_max;
        match self.counts.get_mut(section) {
            Some(total) if fits => *total = total.saturating_add(count),
            _ => {
                self.out.truncate(end);
                if let (Some(compressor), Some(mark)) = (&mut self.compressor, mark) {
                    compressor.rewind(mark);
                }
                self.full = true;
                // RFC 2181, 9: TC only when required data is missing.
                self.truncated |= section < 2;
            }
        }
    }

    fn record(&mut self, set: &RrsetView<'_>, record_type: RecordType, rdata: &[u8]) {
        self.name(set.owner);
        self.out.put_u16(record_type.0);
        self.out.put_u16(set.class.0);
        self.out.put_u32(set.ttl);
        let length_at = self.out.len();
        self.out.put_u16(rdata.len() as u16);
        let layout = layout(record_type);
        if !layout.compress {
            self.out.put_slice(rdata);
            return;
        }
        let mut rest = rdata;
        for field in layout.fields {
            let length = field.length(rest).unwrap_or(rest.len());
            let (part, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            if matches!(field, Field::Name) {
                self.name(part);
            } else {
                self.out.put_slice(part);
            }
            rest = tail;
        }
        let length = (self.out.len() - length_at - 2) as u16;
        if let Some(place) = self.out.get_mut(length_at..length_at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Writes a name, compressed. Most are the question's.
    fn name(&mut self, name: &[u8]) {
        if name == self.head.name && name.len() > 1 {
            self.out.put_u16(0xc000 | QUESTION_AT as u16);
            return;
        }
        let compressor = self.compressor.get_or_insert_with(|| {
            let pointers_max = self.settings.limits.compressed_names_max;
            let mut compressor = Compressor::new(self.start, pointers_max);
            compressor.note_question(self.head.name);
            compressor
        });
        compressor.write(self.out, name);
    }

    /// Writes OPT and the header.
    pub(crate) fn finish(self, mut bits: u16, rcode: ResponseCode, error: Option<ExtendedError>) {
        let mut additional = self.counts.get(2).copied().unwrap_or(0);
        if let Some(edns) = self.head.edns {
            additional = additional.saturating_add(1);
            let size = self.settings.resolution.udp_payload_size;
            write_opt(self.out, edns, rcode, size, error);
            let block = usize::from(self.settings.responses.padding_block_size);
            if edns.padding && block > 0 {
                pad(
                    self.out,
                    self.start,
                    block,
                    self.head.size_limit,
                    error.is_some(),
                );
            }
        }
        if self.truncated {
            bits |= flags::TC;
        }
        let [answer, authority, _] = self.counts;
        let header = [self.head.id, bits, 1, answer, authority, additional];
        put_header(self.out, self.start, header);
    }
}
