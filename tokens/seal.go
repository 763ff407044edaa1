package tokens

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

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
// safe for concurrent use.
type Keyset struct {
	primitive tink.AEAD
	ids       map[uint32]bool
}

// ReadKeyset reads a Tink JSON key set of AES256-GCM or XChaCha20-Poly1305 keys,
// as [GenerateKeyset] writes it. Its errors never hold any of the input.
func ReadKeyset(json []byte) (*Keyset, error) {
	bad := func(why string) error {
		return fmt.Errorf("TOKEN_KEYSET is not a usable key set: %s; make one with `crmbridge keys generate`", why)
	}
	json = bytes.TrimSpace(json)
	switch {
	case len(json) == 0:
		return nil, bad("it is empty")
	case len(json) > maxKeyset:
		return nil, bad(fmt.Sprintf("it is larger than %d bytes", maxKeyset))
	}
	// Tink's own errors are dropped: they may quote what they could not read.
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(json)))
	if err != nil {
		return nil, bad("it is not a cleartext Tink key set in JSON")
	}
	ids := map[uint32]bool{}
	for _, k := range handle.KeysetInfo().GetKeyInfo() {
		if !aeadTypes[k.GetTypeUrl()] {
			return nil, bad("it holds a key that is neither AES256-GCM nor XChaCha20-Poly1305")
		}
		if k.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return nil, bad("it holds a key without the TINK output prefix, so that its data would not name their key")
		}
		ids[k.GetKeyId()] = true
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, bad("one of its keys cannot be used")
	}
	return &Keyset{primitive: primitive, ids: ids}, nil
}

// GenerateKeyset returns a new key set with one AES256-GCM key, as JSON for
// TOKEN_KEYSET. The result is a secret.
func GenerateKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key set: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("write a key set: %w", err)
	}
	return b.Bytes(), nil
}

// Seal encrypts plaintext with the primary key and binds it to associatedData:
// only [Keyset.Open] with the same associatedData opens it. Associated data
// must begin with the purpose, so that what was sealed for one purpose does not
// open for another.
func (k *Keyset) Seal(plaintext, associatedData []byte) ([]byte, error) {
	sealed, err := k.primitive.Encrypt(plaintext, associatedData)
	if err != nil {
		return nil, errors.New("sealing failed")
	}
	return sealed, nil
}

// Open decrypts what [Keyset.Seal] made. Its error is [ErrUnsealable] or
// [ErrKeyMissing].
func (k *Keyset) Open(sealed, associatedData []byte) ([]byte, error) {
	plain, err := k.primitive.Decrypt(sealed, associatedData)
	if err == nil {
		return plain, nil
	}
	// Tink's output prefix: one version byte (1), then the key id.
	if len(sealed) > 5 && sealed[0] == 1 && !k.ids[binary.BigEndian.Uint32(sealed[1:5])] {
		return nil, ErrKeyMissing
	}
	return nil, ErrUnsealable
}

// Format writes how many keys there are, nothing of the keys.
func (k *Keyset) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("keyset of %d keys, %s", len(k.ids), redacted))
}

// MarshalJSON returns "redacted".
func (k *Keyset) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// associated joins a purpose and the place of the data with a separator that
// occurs in none of them.
func associated(purpose string, place ...string) []byte {
	return []byte("crmbridge/" + purpose + "\x00" + strings.Join(place, "\x00"))
}
