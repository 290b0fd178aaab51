// Checks an evidence folder with what the Go authors wrote for their own module log:
// golang.org/x/mod/sumdb/note reads keys and signed notes, golang.org/x/mod/sumdb/tlog the tree.
// Here stands only what to check, and the one thing those two lack: a note.Verifier for
// cosignature/v1 (c2sp.org/tlog-cosignature). Nothing of this project is used.
//
//	main check FOLDER     one line for each thing checked; 0, or 1 with the first fault
//	main merkle FILE      published vectors of trees
//	main notes FILE       published vectors of notes and cosignatures
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const prefix = "pulang/"

func main() {
	commands := map[string]func(string) error{"check": check, "merkle": merkle, "notes": notes}
	if len(os.Args) != 3 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: main check FOLDER | merkle FILE | notes FILE")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "fault:", err)
		os.Exit(1)
	}
}

func ok(format string, values ...interface{}) { fmt.Printf("ok: "+format+"\n", values...) }

// A cosigner is a note.Verifier of signature type 0x04: eight bytes of Unix seconds, then an
// Ed25519 signature of a header, those seconds, and the whole text of the checkpoint.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(text, blob []byte) bool {
	if len(blob) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(blob)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, text)
	return at <= math.MaxInt64 && ed25519.Verify(c.key, []byte(signed), blob[8:])
}

// newVerifier reads NAME+ID+BASE64. What x/mod knows, type 0x01, it reads itself; of type 0x04 it
// is asked to read the same key as 0x01, so that its rules for names and base64 hold for both.
func newVerifier(line string) (note.Verifier, byte, error) {
	parts := strings.SplitN(line, "+", 3)
	if len(parts) != 3 {
		return nil, 0, fmt.Errorf("key %q: not NAME+ID+BASE64", line)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(blob) != 1+ed25519.PublicKeySize {
		return nil, 0, fmt.Errorf("key %q: not base64 of a type and an Ed25519 key", line)
	}
	if blob[0] != 0x04 {
		v, err := note.NewVerifier(line)
		if err != nil {
			return nil, 0, fmt.Errorf("key %q: %v", line, err)
		}
		if !strings.HasPrefix(line, id(v.Name(), v.KeyHash())+"+") {
			return nil, 0, fmt.Errorf("key %q: the id is not in small letters", line)
		}
		return v, blob[0], nil
	}
	plain, err := note.NewEd25519VerifierKey(parts[0], ed25519.PublicKey(blob[1:]))
	if err == nil {
		_, err = note.NewVerifier(plain)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("key %q: %v", line, err)
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), blob...))
	if fmt.Sprintf("%08x", sum[:4]) != parts[1] {
		return nil, 0, fmt.Errorf("key %q: the id is not that of name, type and key", line)
	}
	return cosigner{parts[0], binary.BigEndian.Uint32(sum[:4]), blob[1:]}, 0x04, nil
}

type keyring struct {
	own   note.Verifier
	known note.Verifiers
	types map[string]byte
}

func id(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

func readKeys(path string) (*keyring, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ring, all := &keyring{types: map[string]byte{}}, []note.Verifier{}
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		v, kind, err := newVerifier(line)
		if err != nil {
			return nil, err
		}
		if kind == 0x01 {
			if ring.own != nil {
				return nil, errors.New("keys: more than one signing key (type 0x01)")
			}
			ring.own = v
		}
		ring.types[id(v.Name(), v.KeyHash())] = kind
		all = append(all, v)
		ok("key %s of type 0x%02x", id(v.Name(), v.KeyHash()), kind)
	}
	if ring.own == nil {
		return nil, errors.New("keys: no signing key (type 0x01)")
	}
	ring.known = note.VerifierList(all...)
	return ring, nil
}

// parse reads the three lines of a checkpoint. x/mod knows only the first line of its own log, so
// that one stands in for the origin; the rest must be written exactly as x/mod would write it.
func parse(text string) (string, tlog.Tree, error) {
	const first = "go.sum database tree\n"
	i := strings.Index(text, "\n")
	if i < 1 {
		return "", tlog.Tree{}, errors.New("no origin line")
	}
	tree, err := tlog.ParseTree([]byte(first + text[i+1:]))
	if err != nil {
		return "", tree, err
	}
	if string(tlog.FormatTree(tree)) != first+text[i+1:] {
		return "", tree, errors.New("not exactly origin, size and root")
	}
	return text[:i], tree, nil
}

// open checks a checkpoint: every signature is by a known key and holds, the office's own among
// them. It returns the tree and the names of those who cosigned.
func (k *keyring) open(path, called string) (tlog.Tree, map[string]bool, error) {
	fail := func(err error) (tlog.Tree, map[string]bool, error) {
		return tlog.Tree{}, nil, fmt.Errorf("%s: %v", called, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	opened, err := note.Open(data, k.known)
	if err != nil {
		return fail(err)
	}
	if len(opened.UnverifiedSigs) > 0 {
		s := opened.UnverifiedSigs[0]
		return fail(fmt.Errorf("signed by %s, which is not in keys", id(s.Name, s.Hash)))
	}
	origin, tree, err := parse(opened.Text)
	if err != nil {
		return fail(err)
	}
	if origin != k.own.Name() || !strings.HasPrefix(origin, prefix) {
		return fail(fmt.Errorf("origin %q is not the name of the signing key, %q", origin, k.own.Name()))
	}
	own, cosigners := false, map[string]bool{}
	for _, s := range opened.Sigs {
		blob, err := base64.StdEncoding.Strict().DecodeString(s.Base64)
		if err != nil || len(blob) < 4+8 {
			return fail(errors.New("a signature in inexact base64"))
		}
		if k.types[id(s.Name, s.Hash)] == 0x01 {
			own = true
			ok("%s: signature by %s", called, id(s.Name, s.Hash))
			continue
		}
		cosigners[s.Name] = true
		at := time.Unix(int64(binary.BigEndian.Uint64(blob[4:])), 0).UTC()
		ok("%s: cosignature by %s at %s", called, id(s.Name, s.Hash), at.Format(time.RFC3339))
	}
	if !own {
		return fail(errors.New("not signed by the office itself"))
	}
	ok("%s: %s has %d events and root %s", called, origin, tree.N, tree.Hash)
	return tree, cosigners, nil
}

type proofs struct {
	Size        int64                       `json:"size"`
	Inclusion   map[string]tlog.RecordProof `json:"inclusion"`
	Consistency []struct {
		From  int64          `json:"from"`
		Proof tlog.TreeProof `json:"proof"`
	} `json:"consistency"`
}

func check(folder string) error {
	in := func(parts ...string) string { return filepath.Join(append([]string{folder}, parts...)...) }
	keys, err := readKeys(in("keys"))
	if err != nil {
		return err
	}
	tree, _, err := keys.open(in("checkpoint"), "checkpoint")
	if err != nil {
		return err
	}
	var given proofs
	data, err := os.ReadFile(in("proofs.json"))
	if err == nil {
		err = json.Unmarshal(data, &given)
	}
	if err != nil {
		return fmt.Errorf("proofs.json: %v", err)
	}
	if given.Size != tree.N {
		return fmt.Errorf("proofs.json: size %d, the checkpoint says %d", given.Size, tree.N)
	}
	if err := events(in("events"), tree, given); err != nil {
		return err
	}
	return witnessed(in("witnessed"), keys, tree, given)
}

func events(folder string, tree tlog.Tree, given proofs) error {
	files, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	leaves := map[int64]tlog.Hash{}
	for _, file := range files {
		index, err := number(strings.TrimSuffix(file.Name(), ".json"))
		if err != nil || !strings.HasSuffix(file.Name(), ".json") {
			return fmt.Errorf("events/%s: not the name of an event", file.Name())
		}
		data, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return err
		}
		leaves[index] = tlog.RecordHash(data)
	}
	for _, index := range sorted(leaves) {
		proof, there := given.Inclusion[strconv.FormatInt(index, 10)]
		if !there {
			return fmt.Errorf("events/%d.json: no inclusion proof", index)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaves[index]); err != nil {
			return fmt.Errorf("events/%d.json: inclusion: %v", index, err)
		}
		ok("events/%d.json is event %d of the log", index, index)
	}
	for index := range given.Inclusion {
		if n, err := number(index); err != nil || leaves[n] == (tlog.Hash{}) {
			return fmt.Errorf("proofs.json: inclusion of %s, which is not in events", index)
		}
	}
	if int64(len(leaves)) == tree.N {
		if root, err := rootOf(leaves); err != nil || root != tree.Hash {
			return fmt.Errorf("events: all are there, but their root is %s", root)
		}
		ok("events: all %d are there, and their root is the checkpoint's", tree.N)
	}
	return nil
}

func witnessed(folder string, keys *keyring, tree tlog.Tree, given proofs) error {
	paths := map[int64]tlog.TreeProof{}
	for _, c := range given.Consistency {
		if _, twice := paths[c.From]; twice {
			return fmt.Errorf("proofs.json: consistency from %d twice", c.From)
		}
		paths[c.From] = c.Proof
	}
	files, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	used := map[int64]bool{}
	for _, file := range files {
		called := "witnessed/" + file.Name()
		cut := strings.LastIndex(file.Name(), "-")
		if cut < 1 {
			return fmt.Errorf("%s: not PARTNER-SIZE", called)
		}
		size, err := number(file.Name()[cut+1:])
		if err != nil {
			return fmt.Errorf("%s: not PARTNER-SIZE", called)
		}
		old, cosigners, err := keys.open(filepath.Join(folder, file.Name()), called)
		if err != nil {
			return err
		}
		if old.N != size {
			return fmt.Errorf("%s: of %d events", called, old.N)
		}
		if !cosigners[prefix+file.Name()[:cut]] {
			return fmt.Errorf("%s: not cosigned by %s", called, prefix+file.Name()[:cut])
		}
		path, there := paths[size]
		if !there {
			return fmt.Errorf("%s: no consistency proof from %d", called, size)
		}
		if err := extends(path, tree, old); err != nil {
			return fmt.Errorf("%s: consistency: %v", called, err)
		}
		used[size] = true
		ok("%s is a prefix of the checkpoint", called)
	}
	for from := range paths {
		if !used[from] {
			return fmt.Errorf("proofs.json: consistency from %d, which nobody witnessed", from)
		}
	}
	return nil
}

// extends leaves all to x/mod but the empty tree, which has nothing to prove and which x/mod
// refuses to be asked about.
func extends(path tlog.TreeProof, tree, old tlog.Tree) error {
	if old.N == 0 {
		if len(path) != 0 || old.Hash != tlog.Hash(sha256.Sum256(nil)) {
			return errors.New("not the empty tree")
		}
		return nil
	}
	return tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash)
}

func number(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}

func sorted(leaves map[int64]tlog.Hash) []int64 {
	var indices []int64
	for index := range leaves {
		indices = append(indices, index)
	}
	sort.Slice(indices, func(i, j int) bool { return indices[i] < indices[j] })
	return indices
}

// stored holds a whole tree as x/mod keeps one.
type stored []tlog.Hash

func (s stored) ReadHashes(indices []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indices))
	for i, index := range indices {
		if index >= int64(len(s)) {
			return nil, errors.New("no such node")
		}
		found[i] = s[index]
	}
	return found, nil
}

func build(leaves map[int64]tlog.Hash) (stored, error) {
	var tree stored
	for n := int64(0); n < int64(len(leaves)); n++ {
		more, err := tlog.StoredHashesForRecordHash(n, leaves[n], tree)
		if err != nil {
			return nil, err
		}
		tree = append(tree, more...)
	}
	return tree, nil
}

func rootOf(leaves map[int64]tlog.Hash) (tlog.Hash, error) {
	if len(leaves) == 0 {
		return tlog.Hash(sha256.Sum256(nil)), nil
	}
	tree, err := build(leaves)
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.TreeHash(int64(len(leaves)), tree)
}

// A hexHash is how the published vectors write a hash.
type hexHash tlog.Hash

func (h *hexHash) UnmarshalText(text []byte) error {
	if len(text) != 2*tlog.HashSize {
		return fmt.Errorf("%s is not a hash", text)
	}
	_, err := hex.Decode(h[:], text)
	return err
}

func path(given []hexHash) []tlog.Hash {
	hashes := make([]tlog.Hash, len(given))
	for i, h := range given {
		hashes[i] = tlog.Hash(h)
	}
	return hashes
}

func same(a, b []tlog.Hash) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// merkle confirms each vector, and that x/mod itself makes the very same proofs.
func merkle(file string) error {
	var given struct {
		Leaves    []string  `json:"leaves"`
		Empty     hexHash   `json:"empty_root"`
		Roots     []hexHash `json:"roots"`
		Inclusion []struct {
			Index int64     `json:"index"`
			Size  int64     `json:"size"`
			Proof []hexHash `json:"proof"`
		} `json:"inclusion"`
		Consistency []struct {
			From  int64     `json:"from"`
			Size  int64     `json:"size"`
			Proof []hexHash `json:"proof"`
		} `json:"consistency"`
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &given)
	}
	if err != nil {
		return err
	}
	leaves := map[int64]tlog.Hash{}
	if tlog.Hash(given.Empty) != tlog.Hash(sha256.Sum256(nil)) {
		return errors.New("the root of nothing")
	}
	for i, text := range given.Leaves {
		leaf, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		leaves[int64(i)] = tlog.RecordHash(leaf)
		if root, err := rootOf(leaves); err != nil || root != tlog.Hash(given.Roots[i]) {
			return fmt.Errorf("root of %d leaves", i+1)
		}
		ok("root of %d leaves", i+1)
	}
	tree, err := build(leaves)
	if err != nil {
		return err
	}
	for _, v := range given.Inclusion {
		root := tlog.Hash(given.Roots[v.Size-1])
		made, err := tlog.ProveRecord(v.Size, v.Index, tree)
		if err != nil || !same(made, path(v.Proof)) {
			return fmt.Errorf("inclusion of %d in %d: another proof", v.Index, v.Size)
		}
		if err := tlog.CheckRecord(path(v.Proof), v.Size, root, v.Index, leaves[v.Index]); err != nil {
			return fmt.Errorf("inclusion of %d in %d: %v", v.Index, v.Size, err)
		}
		ok("inclusion of %d in %d", v.Index, v.Size)
	}
	for _, v := range given.Consistency {
		old, root := tlog.Hash(given.Roots[v.From-1]), tlog.Hash(given.Roots[v.Size-1])
		made, err := tlog.ProveTree(v.Size, v.From, tree)
		if err != nil || !same(made, path(v.Proof)) {
			return fmt.Errorf("consistency of %d with %d: another proof", v.From, v.Size)
		}
		if err := tlog.CheckTree(path(v.Proof), v.Size, root, v.From, old); err != nil {
			return fmt.Errorf("consistency of %d with %d: %v", v.From, v.Size, err)
		}
		ok("consistency of %d with %d", v.From, v.Size)
	}
	return nil
}

// notes confirms that each published key signed its published note.
func notes(file string) error {
	var given []struct {
		Name string   `json:"name"`
		Keys []string `json:"keys"`
		Note string   `json:"note"`
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &given)
	}
	if err != nil {
		return err
	}
	for _, v := range given {
		for _, key := range v.Keys {
			verifier, kind, err := newVerifier(key)
			if err != nil {
				return err
			}
			if _, err := note.Open([]byte(v.Note), note.VerifierList(verifier)); err != nil {
				return fmt.Errorf("%s: %s: %v", v.Name, verifier.Name(), err)
			}
			ok("%s: %s of type 0x%02x", v.Name, id(verifier.Name(), verifier.KeyHash()), kind)
		}
	}
	return nil
}
