// Verifies cases with Go's own golang.org/x/mod/sumdb: verify CASES prints a line for each.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// open verifies a checkpoint's signature and returns its tree.
func open(checkpoint, key string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open([]byte(checkpoint), note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func parseHashes(lines []string) (hashes []tlog.Hash, err error) {
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

// verifyProof verifies that an entry is in the log that signed the proof's checkpoint.
func verifyProof(proof string, entry []byte, key string) error {
	head, checkpoint, _ := strings.Cut(proof, "\n\n")
	tree, err := open(checkpoint, key)
	if err != nil {
		return err
	}
	lines := strings.Split(head, "\n")
	if len(lines) > 1 && strings.HasPrefix(lines[1], "extra ") {
		lines = append(lines[:1], lines[2:]...)
	}
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return errors.New("not a proof")
	}
	index, err := strconv.ParseInt(lines[1][len("index "):], 10, 64)
	if err != nil {
		return err
	}
	hashes, err := parseHashes(lines[2:])
	if err != nil {
		return err
	}
	return tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

func verifyConsistency(earlier, later, proof, key string) error {
	old, err := open(earlier, key)
	if err != nil {
		return err
	}
	tree, err := open(later, key)
	if err != nil {
		return err
	}
	hashes, err := parseHashes(strings.Fields(proof))
	if err != nil {
		return err
	}
	return tlog.CheckTree(hashes, tree.N, tree.Hash, old.N, old.Hash)
}

// served reads tiles from a folder. Its tiles are of height 8, as in C2SP's tlog-tiles, which leaves the height out of paths.
type served string

func (folder served) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	path = strings.Replace(path, "tile/data/", "tile/entries/", 1)
	return os.ReadFile(filepath.Join(string(folder), path))
}

func (served) Height() int                     { return 8 }
func (served) SaveTiles([]tlog.Tile, [][]byte) {}

func (folder served) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		read, err := folder.read(tile)
		if err != nil {
			return nil, err
		}
		data = append(data, read)
	}
	return data, nil
}

// tilesOf returns the tiles of a log. tlog.NewTiles returns those that it had when it was smaller, too.
func tilesOf(size int64) (tiles []tlog.Tile) {
	for _, tile := range tlog.NewTiles(8, 0, size) {
		if tile.W == 256 || tile.N*256+int64(tile.W) == size>>(8*tile.L) {
			tiles = append(tiles, tile)
		}
	}
	return tiles
}

// verifyTiles makes the whole tree of the served entries: its root must be the signed one, and its tiles the served ones.
func verifyTiles(folder served, checkpoint, key string) error {
	tree, err := open(checkpoint, key)
	if err != nil {
		return err
	}
	var stored []tlog.Hash
	made := tlog.HashReaderFunc(func(indexes []int64) (hashes []tlog.Hash, err error) {
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	authentic := tlog.TileHashReader(tree, folder)
	tiles := tilesOf(tree.N)
	entries := int64(0)
	for _, tile := range tiles {
		if tile.L != 0 {
			continue
		}
		bundle, err := folder.read(tlog.Tile{H: 8, L: -1, N: tile.N, W: tile.W})
		if err != nil {
			return err
		}
		for ; len(bundle) > 0; entries++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return errors.New("malformed entries")
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			hashes, err := tlog.StoredHashes(entries, bundle[2:end], made)
			if err != nil {
				return err
			}
			leaf, err := authentic.ReadHashes([]int64{tlog.StoredHashIndex(0, entries)})
			if err != nil {
				return err
			}
			if leaf[0] != hashes[0] {
				return fmt.Errorf("entry %d is not in the tree", entries)
			}
			stored = append(stored, hashes...)
			bundle = bundle[end:]
		}
	}
	if entries != tree.N {
		return fmt.Errorf("%d entries in a tree of %d", entries, tree.N)
	}
	if root, err := tlog.TreeHash(tree.N, made); err != nil || root != tree.Hash {
		return errors.New("another root")
	}
	// TileHashReader of x/mod 0.7 leaves tiles unauthenticated if several perfect subtrees of a tree share one.
	for _, tile := range tiles {
		data, err := tlog.ReadTileData(tile, made)
		if err != nil {
			return err
		}
		if read, err := folder.read(tile); err != nil || !bytes.Equal(read, data) {
			return fmt.Errorf("%s is another tile", tile.Path())
		}
	}
	return nil
}

func verify(kind, folder string) error {
	var failed error
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			failed = err
		}
		return string(text)
	}
	var err error
	switch key := read("key"); kind {
	case "proof":
		err = verifyProof(read("proof.tlog-proof"), []byte(read("entry")), key)
	case "consistency":
		err = verifyConsistency(read("earlier"), read("later"), read("hashes"), key)
	default:
		err = verifyTiles(served(folder), read("checkpoint"), key)
	}
	if failed != nil {
		fmt.Fprintln(os.Stderr, failed)
		os.Exit(1)
	}
	return err
}

func main() {
	for _, kind := range []string{"proof", "consistency", "tiles"} {
		folders, _ := filepath.Glob(filepath.Join(os.Args[1], kind, "*"))
		for _, folder := range folders {
			verdict := "accepted"
			if err := verify(kind, folder); err != nil {
				verdict = fmt.Sprintf("refused %v", err)
			}
			fmt.Printf("%s/%s %s\n", kind, filepath.Base(folder), strings.Split(verdict, "\n")[0])
		}
	}
}
