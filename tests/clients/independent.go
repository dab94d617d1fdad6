// The Go packages in which Go's own checksum database is written, as an auditor of a ledger of ours:
//
//	independent DIRECTORY KEY OLDER [RECEIPT ENTRY]...
//
// opens the newest checkpoint with the log's Ed25519 key, hashes every entry anew, takes the tiles for nothing but what
// leads to the signed root, checks that an older checkpoint is of the same log, and each receipt its entry. It knows no
// line of ours but where C2SP lays tiles out.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8
const width = 1 << height

func main() {
	if len(os.Args) < 4 || len(os.Args)%2 != 0 {
		fail("usage: independent DIRECTORY KEY OLDER [RECEIPT ENTRY]...")
	}
	verifier, err := note.NewVerifier(os.Args[2])
	check(err, "the key")
	known := note.VerifierList(verifier)
	tree := open(read(filepath.Join(os.Args[1], "checkpoint")), known)
	tiles := tlog.TileHashReader(tree, directory(os.Args[1]))

	indexes := make([]int64, tree.N)
	for n := range indexes {
		indexes[n] = tlog.StoredHashIndex(0, int64(n))
	}
	leaves, err := tiles.ReadHashes(indexes)
	check(err, "the tiles")
	rehash(entries(directory(os.Args[1]), tree.N), leaves, tree)

	older := open(read(os.Args[3]), known)
	proof, err := tlog.ProveTree(tree.N, older.N, tiles)
	check(err, "the older checkpoint")
	check(tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash), "the older checkpoint")

	for at := 4; at < len(os.Args); at += 2 {
		receipt(read(os.Args[at]), read(os.Args[at+1]), known)
	}
	fmt.Printf("%d entries, %d receipts\n", tree.N, (len(os.Args)-4)/2)
}

// rehash builds the tree from the entries alone, and holds it against what was signed and what the tiles say.
func rehash(entries [][]byte, leaves []tlog.Hash, tree tlog.Tree) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for n, index := range indexes {
			hashes[n] = stored[index]
		}
		return hashes, nil
	})
	other := -1
	for n, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(n), entry, reader)
		check(err, "an entry")
		stored = append(stored, hashes...)
		if other < 0 && tlog.RecordHash(entry) != leaves[n] {
			other = n
		}
	}
	root, err := tlog.TreeHash(tree.N, reader)
	check(err, "the entries")
	switch {
	case root != tree.Hash && other >= 0:
		fail(fmt.Sprintf("entry %d is not the one that was signed", other))
	case root != tree.Hash:
		fail("entries and tiles agree, and are not what was signed")
	case other >= 0:
		fail(fmt.Sprintf("the tiles do not have entry %d", other))
	}
}

// open gives the tree that a checkpoint is of, if the log has signed it.
func open(message []byte, known note.Verifiers) tlog.Tree {
	signed, err := note.Open(message, known)
	check(err, "a checkpoint")
	lines := strings.Split(signed.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err, "a checkpoint's size")
	root, err := tlog.ParseHash(lines[2])
	check(err, "a checkpoint's root")
	return tlog.Tree{N: size, Hash: root}
}

// receipt checks that a c2sp.org/tlog-proof is one of this entry.
func receipt(proof, entry []byte, known note.Verifiers) {
	parts := strings.SplitN(string(proof), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		fail("no receipt")
	}
	tree := open([]byte(parts[1]), known)
	index, hashes := int64(-1), tlog.RecordProof{}
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, "index ") {
			found, err := strconv.ParseInt(strings.TrimPrefix(line, "index "), 10, 64)
			check(err, "a receipt's index")
			index = found
			continue
		}
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			fail("a receipt's hash")
		}
		hashes = append(hashes, *(*tlog.Hash)(hash))
	}
	check(tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(entry)), "a receipt")
}

// entries reads all bundles.
func entries(tiles directory, size int64) [][]byte {
	var all [][]byte
	for n := int64(0); n*width < size; n++ {
		tile := tlog.Tile{H: height, L: 0, N: n, W: width}
		if left := size - n*width; left < width {
			tile.W = int(left)
		}
		path := strings.Replace(tiles.path(tile), "tile/0/", "tile/entries/", 1)
		for bundle, left := read(path), tile.W; left > 0; left-- {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				fail(path + " is too short")
			}
			length := int(binary.BigEndian.Uint16(bundle))
			all = append(all, bundle[2:2+length])
			bundle = bundle[2+length:]
		}
	}
	return all
}

// directory is where C2SP has tiles: as Go has, without the height.
type directory string

func (d directory) path(tile tlog.Tile) string {
	return filepath.Join(string(d), "tile", strings.TrimPrefix(tile.Path(), "tile/8/"))
}

func (d directory) Height() int { return height }

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, 0, len(tiles))
	for _, tile := range tiles {
		bytes, err := os.ReadFile(d.path(tile))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

func read(path string) []byte {
	bytes, err := os.ReadFile(path)
	check(err, path)
	return bytes
}

func check(err error, what string) {
	if err != nil {
		fail(what + ": " + err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
