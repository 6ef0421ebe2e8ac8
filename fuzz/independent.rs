//! The messages of `proto/manifest.proto` once more, for prost's decoder: nothing of
//! it is ours but these numbers.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct Manifest {
    #[prost(message, repeated, tag = "1")]
    pub resource: Vec<Resource>,
    #[prost(message, optional, tag = "100")]
    pub info: Option<ManifestInfo>,
    #[prost(message, optional, tag = "101")]
    pub root: Option<Resource>,
    #[prost(message, repeated, tag = "102")]
    pub special: Vec<Resource>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ManifestInfo {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(string, tag = "2")]
    pub generator: String,
    #[prost(string, repeated, tag = "3")]
    pub required_feature: Vec<String>,
    #[prost(string, tag = "4")]
    pub base: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(string, repeated, tag = "1")]
    pub path: Vec<String>,
    #[prost(int64, tag = "2")]
    pub uid: i64,
    #[prost(int64, tag = "3")]
    pub gid: i64,
    #[prost(string, tag = "4")]
    pub user: String,
    #[prost(string, tag = "5")]
    pub group: String,
    #[prost(uint32, tag = "6")]
    pub mode: u32,
    #[prost(uint64, tag = "7")]
    pub size: u64,
    #[prost(string, repeated, tag = "8")]
    pub digest: Vec<String>,
    #[prost(string, tag = "9")]
    pub target: String,
    #[prost(uint64, tag = "10")]
    pub major: u64,
    #[prost(uint64, tag = "11")]
    pub minor: u64,
    #[prost(message, repeated, tag = "12")]
    pub xattr: Vec<XAttr>,
    #[prost(message, repeated, tag = "13")]
    pub ads: Vec<AdsEntry>,
    #[prost(message, optional, tag = "100")]
    pub extension: Option<ResourceExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub struct XAttr {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AdsEntry {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    #[prost(string, tag = "3")]
    pub digest: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceExtension {
    #[prost(message, optional, tag = "1")]
    pub mtime: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub ctime: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub chunks: Option<ChunkTable>,
    #[prost(message, optional, tag = "4")]
    pub whiteout: Option<Whiteout>,
    #[prost(bool, tag = "5")]
    pub opaque: bool,
    #[prost(string, tag = "6")]
    pub user: String,
    #[prost(string, tag = "7")]
    pub group: String,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub raw_path: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_target: Vec<u8>,
    #[prost(message, repeated, tag = "10")]
    pub raw_xattr: Vec<RawXAttr>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RawXAttr {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Timestamp {
    #[prost(sint64, tag = "1")]
    pub seconds: i64,
    #[prost(uint32, tag = "2")]
    pub nanos: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ChunkTable {
    #[prost(string, tag = "1")]
    pub algorithm: String,
    #[prost(uint64, tag = "2")]
    pub chunk_size: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub length: Vec<u64>,
    #[prost(bytes = "vec", tag = "4")]
    pub digest: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Whiteout {}
