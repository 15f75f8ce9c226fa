//! Files, in parts and ranges, many at once, each tried again by itself.
//!
//! A file's parts are a plan that is made before the first byte moves; what is moved by whom first does not matter,
//! as every piece knows where it stands.

use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
};

use futures_util::{
    FutureExt,
    stream::{self, StreamExt, TryStreamExt},
};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

use crate::{
    Body, Client, Error, ObjectInfo, Result,
    checksum::{Content, Running},
    proto::{
        AbortMultipartUploadRequest, Checksums, CompleteMultipartUploadRequest, CompletedPart,
        CreateMultipartUploadRequest, GetObjectRequest, PutObjectRequest, UploadPartRequest,
    },
    put::send,
};

/// S3's limit: an upload has no more parts.
const MAX_PARTS: u64 = 10_000;

/// A run of a file's bytes that is moved by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    number: u16,
    offset: u64,
    bytes: u64,
}

/// Cuts a file in pieces of so many bytes, more where they would be too many; the last has what is left.
fn cut(size: u64, piece_bytes: u64) -> Vec<Piece> {
    let piece_bytes = piece_bytes.max(size.div_ceil(MAX_PARTS));
    let count = u16::try_from(size.div_ceil(piece_bytes)).expect("no more than the most parts");
    let piece = |number: u16| {
        let offset = u64::from(number) * piece_bytes;
        Piece { number: number + 1, offset, bytes: piece_bytes.min(size - offset) }
    };
    (0..count).map(piece).collect()
}

/// The content of all pieces, in their order.
fn whole(pieces: impl IntoIterator<Item = Content>) -> Content {
    pieces.into_iter().fold(Content::EMPTY, Content::followed_by)
}

impl Client {
    /// Stores a file as an object: in parts, many at once, each sent again where its connection broke; what is no
    /// larger than a part in one stream.
    ///
    /// The object is there whole or not at all; an upload that fails, or is dropped, is aborted.
    ///
    /// # Errors
    ///
    /// Those of [`Client::put`], and [`Error::Io`] for the file.
    pub async fn upload_file(&self, bucket: &str, key: &str, path: impl AsRef<Path>) -> Result<ObjectInfo> {
        let request =
            PutObjectRequest { bucket: bucket.to_owned(), key: key.to_owned(), ..PutObjectRequest::default() };
        self.upload_file_with(request, path).await
    }

    /// Stores a file as a request says: with a media type, metadata, under a condition.
    ///
    /// # Errors
    ///
    /// Those of [`Client::put_with`], and [`Error::Io`] for the file.
    pub async fn upload_file_with(&self, request: PutObjectRequest, path: impl AsRef<Path>) -> Result<ObjectInfo> {
        let path = path.as_ref();
        let size = tokio::fs::metadata(path).await?.len();
        if size <= self.part_bytes {
            let bytes = tokio::fs::read(path).await?;
            return self.put_with(request, bytes).await;
        }
        // In a task of its own: dropped while the answer is under way, it would leave an upload that nobody knows.
        let beginning = tokio::spawn(Open::begin(self.clone(), request.clone()));
        let mut open = beginning.await.map_err(io::Error::other)??;
        let done = open.upload.fill(&request, path, size).await;
        if done.is_err() {
            // What failed first is what the caller must hear.
            let _ = open.upload.abort().await;
        }
        open.is_settled = true;
        done
    }

    /// Writes an object to a file, in ranges, many at once, each going on where its connection broke.
    ///
    /// All ranges are of the one object that stood there when it began: `PreconditionFailed` where it is replaced
    /// meanwhile.  The file appears, or is replaced, when everything has come and agrees with the object's checksum;
    /// a download that fails or is dropped leaves the path as it was.
    ///
    /// # Errors
    ///
    /// `NoSuchKey`, `NoSuchBucket`, `PreconditionFailed`; [`Error::Checksum`]; [`Error::Io`] for the file.
    pub async fn download_file(&self, bucket: &str, key: &str, path: impl AsRef<Path>) -> Result<ObjectInfo> {
        let path = path.as_ref();
        // To be renamed over a directory or a device is not to be written to it.
        if tokio::fs::metadata(path).await.is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no file", path.display())).into());
        }
        let info = self.head(bucket, key).await?;
        let partial = Partial::beside(path);
        File::create_new(&partial.path).await?.set_len(info.size).await?;
        let (info, partial_path) = (&info, &partial.path);
        let contents: Vec<Content> = stream::iter(cut(info.size, self.part_bytes))
            .map(|piece| async move { self.download_piece(info, piece, partial_path).await })
            .buffered(self.parallel)
            .try_collect()
            .await?;
        if info.has_checksum_of_all() && !whole(contents).agrees_with(info.checksums.as_ref()) {
            return Err(Error::Checksum);
        }
        tokio::fs::rename(&partial.path, path).await?;
        Ok(info.clone())
    }

    async fn download_piece(&self, info: &ObjectInfo, piece: Piece, path: &Path) -> Result<Content> {
        let mut file = OpenOptions::new().write(true).open(path).await?;
        file.seek(SeekFrom::Start(piece.offset)).await?;
        let request = GetObjectRequest {
            bucket: info.bucket.clone(),
            key: info.key.clone(),
            range: Some(format!("bytes={}-{}", piece.offset, piece.offset + piece.bytes - 1)),
            if_match: Some(info.etag.clone()),
            ..GetObjectRequest::default()
        };
        let mut object = self.get_with(request).await?;
        let mut running = Running::new();
        while let Some(data) = object.chunk().await? {
            running.update(&data);
            file.write_all(&data).await?;
        }
        file.flush().await?;
        Ok(running.finish())
    }
}

/// What a request to put says when the upload begins; its conditions and digests come when it is completed.
fn begun_by(request: &PutObjectRequest) -> CreateMultipartUploadRequest {
    let request = request.clone();
    CreateMultipartUploadRequest {
        bucket: request.bucket,
        key: request.key,
        content_type: request.content_type,
        metadata: request.metadata,
        cache_control: request.cache_control,
        content_disposition: request.content_disposition,
        content_encoding: request.content_encoding,
        content_language: request.content_language,
        expires: request.expires,
        website_redirect_location: request.website_redirect_location,
        tagging: request.tagging,
        storage_class: request.storage_class,
        acl: request.acl,
        checksum_algorithm: request.checksum_algorithm,
        checksum_type: None,
        expected_bucket_owner: request.expected_bucket_owner,
    }
}

/// An upload in parts that has begun.
#[derive(Clone)]
struct Upload {
    client: Client,
    bucket: String,
    key: String,
    id: String,
    owner: Option<String>,
}

impl Upload {
    /// Sends all parts of the file, and makes the object of them.
    async fn fill(&self, request: &PutObjectRequest, path: &Path, size: u64) -> Result<ObjectInfo> {
        let sent: Vec<(CompletedPart, Content)> = stream::iter(cut(size, self.client.part_bytes))
            .map(|piece| async move { self.part(piece, path).await })
            .buffered(self.client.parallel)
            .try_collect()
            .await?;
        let (parts, contents): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        let computed = || Checksums { crc64nvme: Some(whole(contents).encoded()), ..Checksums::default() };
        let checksums = match request.checksum_algorithm {
            None => request.checksums.clone().or_else(|| Some(computed())),
            Some(_) => request.checksums.clone(),
        };
        let complete = CompleteMultipartUploadRequest {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            upload_id: self.id.clone(),
            parts,
            checksums,
            checksum_type: None,
            mpu_object_size: i64::try_from(size).ok(),
            if_match: request.if_match.clone(),
            if_none_match: request.if_none_match.clone(),
            expected_bucket_owner: self.owner.clone(),
        };
        let call = |request| async { self.client.uploads().complete_multipart_upload(request).await };
        // The second time it answers what it answered the first.
        let answer = self.client.call(true, complete, call).await?;
        Ok(ObjectInfo {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            size,
            etag: answer.etag.unwrap_or_default(),
            last_modified: None,
            content_type: request.content_type.clone(),
            metadata: request.metadata.clone(),
            checksums: answer.checksums,
            checksum_type: answer.checksum_type,
        })
    }

    /// Sends one part, and tells what was sent.
    async fn part(&self, piece: Piece, path: &Path) -> Result<(CompletedPart, Content)> {
        let (etag, sent) = self.client.retries.run(true, || self.part_once(piece, path)).await?;
        let part = CompletedPart { part_number: Some(i32::from(piece.number)), etag, checksums: None };
        Ok((part, sent))
    }

    async fn part_once(&self, piece: Piece, path: &Path) -> Result<(Option<String>, Content)> {
        let mut file = File::open(path).await?;
        file.seek(SeekFrom::Start(piece.offset)).await?;
        let later = UploadPartRequest {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            upload_id: self.id.clone(),
            part_number: i32::from(piece.number),
            ..UploadPartRequest::default()
        };
        let first = UploadPartRequest { expected_bucket_owner: self.owner.clone(), ..later.clone() };
        let message =
            move |data, is_first| UploadPartRequest { data, ..if is_first { first.clone() } else { later.clone() } };
        let mut uploads = self.client.uploads();
        let call = |request| async move { uploads.upload_part(request).await }.boxed();
        let (answer, sent) = send(Body::reader(file.take(piece.bytes)), message, call).await?;
        if sent.bytes != piece.bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter meanwhile").into());
        }
        if !sent.agrees_with(answer.checksums.as_ref()) {
            return Err(Error::Checksum);
        }
        Ok((answer.etag, sent))
    }

    async fn abort(&self) -> Result<()> {
        let request = AbortMultipartUploadRequest {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            upload_id: self.id.clone(),
            expected_bucket_owner: self.owner.clone(),
        };
        let abort = |request| async { self.client.uploads().abort_multipart_upload(request).await };
        self.client.call(true, request, abort).await.map(drop)
    }
}

/// An upload that is aborted when this is dropped, unless it is settled what became of it.
struct Open {
    upload: Upload,
    is_settled: bool,
}

impl Open {
    async fn begin(client: Client, request: PutObjectRequest) -> Result<Self> {
        let begin = |request| async { client.uploads().create_multipart_upload(request).await };
        let begun = client.call(true, begun_by(&request), begin).await?;
        let upload = Upload {
            bucket: request.bucket,
            key: request.key,
            id: begun.upload_id.unwrap_or_default(),
            owner: request.expected_bucket_owner,
            client,
        };
        Ok(Self { upload, is_settled: false })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        // Nothing waits in a drop: another task does it, where there still is a runtime for one.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let upload = self.upload.clone();
            runtime.spawn(async move { upload.abort().await });
        }
    }
}

/// A file that is not whole yet: it has another name, and goes away with this unless it has been renamed.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn beside(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self { path: path.with_file_name(format!(".{name}.{:016x}", fastrand::u64(..))) }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_has_what_is_left() {
        let pieces = cut(25, 10);

        assert_eq!(vec![(1, 0, 10), (2, 10, 10), (3, 20, 5)], flat(&pieces));
    }

    #[test]
    fn nothing_has_no_pieces() {
        assert_eq!(Vec::<Piece>::new(), cut(0, 10));
    }

    #[test]
    fn pieces_grow_before_they_are_too_many() {
        let pieces = cut(5 << 40, 8 << 20);

        assert!(pieces.len() <= 10_000);
        assert_eq!(5 << 40, pieces.iter().map(|piece| piece.bytes).sum::<u64>());
    }

    fn flat(pieces: &[Piece]) -> Vec<(u16, u64, u64)> {
        pieces.iter().map(|piece| (piece.number, piece.offset, piece.bytes)).collect()
    }
}
