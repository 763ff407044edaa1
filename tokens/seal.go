package tokens

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrUnsealable says that a ciphertext did not open: it was changed, moved to
// another place, or sealed under a key that the key set does not hold.
var ErrUnsealable = errors.New("sealed data does not open")

// ErrKeyMissing is an [ErrUnsealable] whose key is not in the key set.
var ErrKeyMissing = fmt.Errorf("%w: the key set does not hold its key", ErrUnsealable)

const maxKeyset = 64 << 10

// aeadTypes are the key types that a key set may hold.
var aeadTypes = map[string]bool{
	"type.googleapis.com/google.crypto.tink.AesGcmKey":            true,
	"type.googleapis.com/google.crypto.tink.XChaCha20Poly1305Key": true,
}

// Keyset seals data at rest: its primary key seals, all its keys open. It is
// safe for concurrent use. One that follows a file takes over the keys that are
// put there while it is in use; see [Keyset.Follow].
type Keyset struct {
	now atomic.Pointer[keys]

	mu     sync.Mutex // guards the rest
	read   func() ([]byte, error)
	looked time.Time // when read was asked last
	other  *keys     // what it gave then, where that was not taken over
}

// keys are the keys of one reading.
type keys struct {
	primitive tink.AEAD
	ids       map[uint32]bool
	primary   uint32
	staged    map[uint32]bool   // those that come after the primary
	text      [sha256.Size]byte // of what was read
}

// ReadKeyset reads a Tink JSON key set of AES256-GCM or XChaCha20-Poly1305 keys,
// as [GenerateKeyset] writes it. Its errors never hold any of the input.
func ReadKeyset(json []byte) (*Keyset, error) {
	_, read, err := readKeys(json)
	if err != nil {
		return nil, err
	}
	k := &Keyset{}
	k.now.Store(read)
	return k, nil
}

func badKeyset(why string) error {
	return fmt.Errorf("TOKEN_KEYSET is not a usable key set: %s; make one with `crmbridge keys generate`", why)
}

func readKeys(json []byte) (*keyset.Handle, *keys, error) {
	json = bytes.TrimSpace(json)
	switch {
	case len(json) == 0:
		return nil, nil, badKeyset("it is empty")
	case len(json) > maxKeyset:
		return nil, nil, badKeyset(fmt.Sprintf("it is larger than %d bytes", maxKeyset))
	}
	// Tink's own errors are dropped: they may quote what they could not read.
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(json)))
	if err != nil {
		return nil, nil, badKeyset("it is not a cleartext Tink key set in JSON")
	}
	read := &keys{ids: map[uint32]bool{}, staged: map[uint32]bool{}, primary: handle.KeysetInfo().GetPrimaryKeyId(),
		text: sha256.Sum256(json)}
	behind := false
	for _, k := range handle.KeysetInfo().GetKeyInfo() {
		if !aeadTypes[k.GetTypeUrl()] {
			return nil, nil, badKeyset("it holds a key that is neither AES256-GCM nor XChaCha20-Poly1305")
		}
		if k.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return nil, nil, badKeyset("it holds a key without the TINK output prefix, so that its data " +
				"would not name their " +
				"key")
		}
		read.ids[k.GetKeyId()] = k.GetStatus() == tinkpb.KeyStatusType_ENABLED
		read.staged[k.GetKeyId()] = behind
		behind = behind || k.GetKeyId() == read.primary
	}
	if read.primitive, err = aead.New(handle); err != nil {
		return nil, nil, badKeyset("one of its keys cannot be used")
	}
	return handle, read, nil
}

// Seal encrypts plaintext with the primary key and binds it to associatedData:
// only [Keyset.Open] with the same associatedData opens it. Associated data
// must begin with the purpose, so that what was sealed for one purpose does not
// open for another.
func (k *Keyset) Seal(plaintext, associatedData []byte) ([]byte, error) {
	sealed, err := k.now.Load().primitive.Encrypt(plaintext, associatedData)
	if err != nil {
		return nil, errors.New("sealing failed")
	}
	return sealed, nil
}

// Open decrypts what [Keyset.Seal] made. Its error is [ErrUnsealable] or
// [ErrKeyMissing]. A key that is not held is looked for where the set came from:
// another process may have the new one already. That can take 100 ms.
func (k *Keyset) Open(sealed, associatedData []byte) ([]byte, error) {
	return k.openOf(time.Now(), sealed, associatedData)
}

// openOf is Open of what was there at a moment: where a key is missing for several
// things of that moment, it is looked for once.
func (k *Keyset) openOf(at time.Time, sealed, associatedData []byte) ([]byte, error) {
	now := k.now.Load()
	plain, err := now.open(sealed, associatedData)
	if !errors.Is(err, ErrKeyMissing) {
		return plain, err
	}
	if k.lookAgain(now, at, sealed, associatedData) {
		return k.now.Load().open(sealed, associatedData)
	}
	return plain, err
}

func (k *keys) open(sealed, associatedData []byte) ([]byte, error) {
	plain, err := k.primitive.Decrypt(sealed, associatedData)
	if err == nil {
		return plain, nil
	}
	if id, ok := sealedBy(sealed); ok && !k.ids[id] {
		return nil, ErrKeyMissing
	}
	return nil, ErrUnsealable
}

// sealedBy reads Tink's output prefix: one version byte (1), then the key id.
func sealedBy(sealed []byte) (id uint32, ok bool) {
	if len(sealed) <= 5 || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}

// current reports whether the primary key sealed this.
func (k *Keyset) current(sealed []byte) bool {
	id, ok := sealedBy(sealed)
	return ok && id == k.now.Load().primary
}

// ahead reports whether a key sealed this that is only staged in this set: then the
// set is older than the one that the fleet seals with.
func (k *Keyset) ahead(sealed []byte) (id uint32, yes bool) {
	id, ok := sealedBy(sealed)
	return id, ok && k.now.Load().staged[id]
}

// Format writes how many keys there are, nothing of the keys.
func (k *Keyset) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("keyset of %d keys, %s", len(k.now.Load().ids), redacted))
}

// MarshalJSON returns "redacted".
func (k *Keyset) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// associated joins a purpose and the place of the data with a separator that
// occurs in none of them.
func associated(purpose string, place ...string) []byte {
	return []byte("crmbridge/" + purpose + "\x00" + strings.Join(place, "\x00"))
}
