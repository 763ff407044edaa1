package tokens

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// GenerateKeyset returns a new key set with one AES256-GCM key, as JSON for
// TOKEN_KEYSET. The result is a secret.
func GenerateKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key set: %w", err)
	}
	return writeKeys(handle)
}

// A Key is one key of a set, without the key.
type Key struct {
	ID      uint32
	Primary bool // what is sealed now is sealed with it
	Staged  bool // it comes after the primary: [PromoteKey] would take it
	Enabled bool // it opens what it sealed
}

// Keys lists the keys of a key set, oldest first.
func Keys(json []byte) ([]Key, error) {
	handle, read, err := readKeys(json)
	if err != nil {
		return nil, err
	}
	var list []Key
	behind := false
	for _, k := range handle.KeysetInfo().GetKeyInfo() {
		enabled := k.GetStatus() == tinkpb.KeyStatusType_ENABLED
		list = append(list, Key{ID: k.GetKeyId(), Primary: k.GetKeyId() == read.primary, Staged: behind && enabled,
			Enabled: enabled})
		behind = behind || k.GetKeyId() == read.primary
	}
	return list, nil
}

// RotateKeyset returns the key set with one more key, which is the primary: the
// one that seals. Processes that do not have it yet cannot open what it seals.
// The result is a secret.
func RotateKeyset(json []byte) ([]byte, error) {
	return changeKeys(json, func(m *keyset.Manager) error {
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
}

// StageKey returns the key set with one more key that opens and does not seal
// yet. Once every process has it, [PromoteKey] is safe. The result is a secret.
func StageKey(json []byte) ([]byte, error) {
	return changeKeys(json, func(m *keyset.Manager) error {
		_, err := m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
}

// PromoteKey makes the newest key that was staged after the primary the new
// primary. The result is a secret.
func PromoteKey(json []byte) ([]byte, error) {
	list, err := Keys(json)
	if err != nil {
		return nil, err
	}
	newest := list[len(list)-1]
	if !newest.Staged {
		return nil, errors.New("the key set holds no key behind the primary one; add one with `crmbridge keys rotate " +
			"--stage` first")
	}
	return changeKeys(json, func(m *keyset.Manager) error { return m.SetPrimary(newest.ID) })
}

// RemoveKey returns the key set without one of its keys; what that key sealed
// does not open any more. The primary key cannot be removed.
func RemoveKey(json []byte, id uint32) ([]byte, error) {
	list, err := Keys(json)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		switch {
		case k.ID == id && k.Primary:
			return nil, fmt.Errorf("key %d is the primary key, which seals; rotate and reseal first", id)
		case k.ID == id:
			return changeKeys(json, func(m *keyset.Manager) error { return m.Delete(id) })
		}
	}
	return nil, fmt.Errorf("the key set holds no key %d", id)
}

func changeKeys(json []byte, change func(*keyset.Manager) error) ([]byte, error) {
	handle, _, err := readKeys(json)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(handle)
	if err := change(m); err != nil {
		return nil, fmt.Errorf("change the key set: %w", err)
	}
	if handle, err = m.Handle(); err != nil {
		return nil, fmt.Errorf("change the key set: %w", err)
	}
	return writeKeys(handle)
}

func writeKeys(handle *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("write a key set: %w", err)
	}
	return b.Bytes(), nil
}

// Follow says where newer keys come from: read is the whole key set as it is
// there now. It is asked by [Keyset.Reload], and when something was sealed under
// a key that is not held.
func (k *Keyset) Follow(read func() ([]byte, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read = read
}

// Reload reads the key set again where it [Keyset.Follow]s one, and reports
// whether it is another one by now. A set that cannot be used, or that has no
// key in common with the present one (it would open nothing that is stored),
// is an error and changes nothing.
func (k *Keyset) Reload() (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reload(nil)
}

// reload takes over another set that shares a key with the present one, or that
// opens what is stored, as proved says.
func (k *Keyset) reload(proved func(*keys) bool) (bool, error) {
	if k.read == nil {
		return false, nil
	}
	k.looked, k.other = time.Now(), nil
	text, err := k.read()
	if err != nil {
		return false, err
	}
	_, next, err := readKeys(text)
	if err != nil {
		return false, err
	}
	now := k.now.Load()
	if next.text == now.text {
		return false, nil
	}
	for id := range next.ids {
		if now.ids[id] {
			k.now.Store(next)
			return true, nil
		}
	}
	if proved != nil && proved(next) {
		k.now.Store(next) // this process slept through the sets in between
		return true, nil
	}
	k.other = next
	return false, errors.New("the new key set holds none of the present keys, so that nothing that is stored would " +
		"open; the present one is kept")
}

// lookPause keeps data that name made-up keys from making work: the set is read at most
// once in it, for all who miss a key meanwhile. They wait for that, since the key that
// they miss may have come since the set was read last.
const lookPause = 100 * time.Millisecond

// lookAgain reports whether there are other keys than seen by now. A look that began
// after since is enough. A set that has nothing in common with the present one counts
// where it opens what the present one does not.
func (k *Keyset) lookAgain(seen *keys, since time.Time, sealed, associatedData []byte) bool {
	opens := func(next *keys) bool {
		_, err := next.open(sealed, associatedData)
		return err == nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.read != nil && k.now.Load() == seen && !k.looked.After(since) {
		if wait := lookPause - time.Since(k.looked); wait > 0 {
			k.mu.Unlock()
			time.Sleep(wait)
			k.mu.Lock()
			continue
		}
		_, _ = k.reload(opens) // who watches the file tells what is wrong with it
	}
	if k.now.Load() == seen && k.other != nil && opens(k.other) { // read for somebody else's sake
		k.now.Store(k.other)
		k.other = nil
	}
	return k.now.Load() != seen
}
