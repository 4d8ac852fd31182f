//! The network block device protocol, as much of it as one emulator on the same host needs to use a disk of the test's
//! (<https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>): the newer handshake, then reads, writes, flushes.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use super::disk::{Platter, SECTOR, locked};

const OPTION_MAGIC: &[u8; 8] = b"IHAVEOPT";
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

/// Options, and what is replied to them.
const ABORT: u32 = 2;
const GO: u32 = 7;
const ACKNOWLEDGED: u32 = 1;
const INFORMATION: u32 = 3;
const UNSUPPORTED: u32 = (1 << 31) + 1;

/// The disk can be flushed; without this flag the machine would believe that it has no cache.
const FLAGS: u16 = 1 | 1 << 2;

/// Requests.
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;

/// Errors, as the protocol numbers them.
const INVALID: u32 = 22;

/// The most that one request reads or writes, in bytes; the protocol's customary limit.
const MOST: u32 = 32 << 20;

fn bytes<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn number(stream: &mut impl Read) -> io::Result<u32> {
    Ok(u32::from_be_bytes(bytes(stream)?))
}

fn many(stream: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    if length > MOST {
        return Err(io::Error::other("a message that is too large"));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Serves a disk until the emulator goes; from the disk's next life on nothing is done and nothing answered.
pub fn serve(stream: UnixStream, platter: &Mutex<Platter>, life: u64) -> io::Result<()> {
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    if !greet(&mut input, &mut output, locked(platter).size())? {
        return Ok(());
    }
    loop {
        if number(&mut input)? != REQUEST_MAGIC {
            return Err(io::Error::other("not a request"));
        }
        let [_, _, kind @ ..] = bytes::<4>(&mut input)?;
        let kind = u16::from_be_bytes(kind);
        let cookie: [u8; 8] = bytes(&mut input)?;
        let offset = u64::from_be_bytes(bytes(&mut input)?);
        let length = number(&mut input)?;
        let written = if kind == WRITE { many(&mut input, length)? } else { Vec::new() };
        let mut reply = [&REPLY_MAGIC.to_be_bytes()[..], &0_u32.to_be_bytes(), &cookie].concat();
        {
            let mut platter = locked(platter);
            if platter.life != life {
                continue;
            }
            match (kind, platter.range(offset, length)) {
                (READ, Some(sectors)) => reply.extend(platter.read(sectors)),
                (WRITE, Some(sectors)) => platter.write(sectors, &written),
                (FLUSH, _) => platter.flush(),
                (DISCONNECT, _) => return Ok(()),
                _ => reply[4..8].copy_from_slice(&INVALID.to_be_bytes()),
            }
            // The flush may have been the end.
            if platter.life != life {
                continue;
            }
        }
        output.write_all(&reply)?;
    }
}

/// The handshake; whether requests follow.
fn greet(input: &mut impl Read, output: &mut impl Write, size: u64) -> io::Result<bool> {
    // The newer handshake, without a gap of zeros.
    output.write_all(&[b"NBDMAGIC", &OPTION_MAGIC[..], &3_u16.to_be_bytes()].concat())?;
    let _flags = number(input)?;
    loop {
        if bytes(input)? != *OPTION_MAGIC {
            return Err(io::Error::other("not an option"));
        }
        let option = number(input)?;
        let length = number(input)?;
        let _which_disk = many(input, length)?;
        let mut reply = |kind: u32, data: &[u8]| {
            let head = [&OPTION_REPLY_MAGIC.to_be_bytes()[..], &option.to_be_bytes(), &kind.to_be_bytes()].concat();
            let length = u32::try_from(data.len()).map_err(io::Error::other)?;
            output.write_all(&[&head, &length.to_be_bytes()[..], data].concat())
        };
        match option {
            GO => {
                reply(INFORMATION, &[&0_u16.to_be_bytes()[..], &size.to_be_bytes(), &FLAGS.to_be_bytes()].concat())?;
                // The smallest, the best and the largest request.
                let sector = (SECTOR as u32).to_be_bytes();
                reply(INFORMATION, &[&3_u16.to_be_bytes()[..], &sector, &sector, &MOST.to_be_bytes()].concat())?;
                reply(ACKNOWLEDGED, &[])?;
                return Ok(true);
            }
            ABORT => {
                reply(ACKNOWLEDGED, &[])?;
                return Ok(false);
            }
            _ => reply(UNSUPPORTED, &[])?,
        }
    }
}
