// Package content is what can be served: a folder as a catalogue of objects with validators, and generators of
// folders to serve.
//
// The catalogue:
//
//  1. [Catalogue.Lookup] takes a URL path that was percent-decoded once, and refuses what is not a plain path
//     below the root, without looking at the disk.
//  2. An answer that was validated a moment ago is returned at once. Otherwise the path goes to one of a few
//     workers and the caller gets [ErrBusy]: nothing that serves packets ever waits for a disk.
//  3. The worker resolves the path inside the root ([os.Root]: symbolic links that lead out are refused by the
//     kernel's rules of resolution, not by string comparison), accepts regular files only, and opens it.
//  4. The object carries its generation: device, inode, size, times of modification and change. The generation
//     makes the ETag and the key in the page cache; [Object.Changed] compares it with the file as it is now.
//
// A file whose stamp is younger than the clock's granularity is not served yet: it could be written again
// without its stamp changing, and then two contents would share one generation (git calls this racily clean).
// The worker waits these few milliseconds. What stamps cannot show, they cannot show here either: a single
// write(2) that takes long in the middle of a file, and stores through a writable mapping. Replace files by
// rename(2), as every packager does, and the question does not arise.
//
// The generators:
//
//  5. [Gen] writes a deterministic catalogue of HLS titles in fragmented MP4 and of plain files. Every byte
//     follows from the file's name and the offset; [Expect] gives the bytes to a client that wants to verify.
//  6. [Demo] writes one small title with a player page: a real picture if ffmpeg is installed.
package content
