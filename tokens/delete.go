package tokens

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Delete forgets a connection and its tokens. Deleting what is not there is no
// error. A refresh or an authorization that is under way cannot bring it back. What others
// keep of it waits for [Store.PurgeDeleted].
func (s *Store) Delete(ctx context.Context, id string) error {
	_, err := s.DeleteIfThere(ctx, id)
	return err
}

// DeleteIfThere is [Store.Delete], and says whether there was a connection.
func (s *Store) DeleteIfThere(ctx context.Context, id string) (there bool, err error) {
	if !ValidID(id) {
		return false, badID()
	}
	// First, so that it is not the next incarnation that leaves the work list. If it
	// stays after all, or has come back, whoever takes it from there finds nothing.
	if err := s.rdb.ZRem(ctx, renewalsKey, id).Err(); err != nil {
		return false, redisError(err)
	}
	if there, err = s.remove(ctx, id); err != nil {
		return false, err
	}
	return there, s.unlist(ctx, id)
}

// remove deletes the record and says whether there was one. This process knows of it
// before remove returns, whatever Redis answered.
func (s *Store) remove(ctx context.Context, id string) (there bool, err error) {
	defer s.notify(id)
	change, err := s.announceDeletion(ctx, id)
	if err != nil {
		return false, err
	}
	if err := s.announcePurge(ctx, id); err != nil {
		return false, err
	}
	keys := []string{grantFence(id).key, outboxKey(id), purgeKey(id), usedKey(id), metadataKey(id)}
	was, err := deleteScript.Run(ctx, s.rdb, keys, id, changedChannel, change, "unreadable-"+random(9), random(9),
		purgeKept.Milliseconds()).StringSlice()
	if err != nil {
		return false, redisError(err)
	}
	if len(was) < 3 {
		return false, nil
	}
	s.wake()
	if was[2] != "0" {
		s.notifyDropped(id)
	}
	return true, nil // a damaged record is deleted like any other
}

// forget takes an id without a record (an authorization that nobody finished, or one
// that was deleted) out of the index. Index and record are in different slots of a
// cluster, so that no script can do both. A record that was made meanwhile is looked
// for afterwards, and put adds to the index after it wrote, so that one of the two
// sees the other.
func (s *Store) forget(ctx context.Context, id string) {
	if err := s.unlist(ctx, id); err != nil {
		return // failing to tidy up harms nobody: the list passes over it
	}
}

// unlist is forget where it matters whether it was done.
func (s *Store) unlist(ctx context.Context, id string) error {
	if err := s.rdb.ZRem(ctx, indexKey, id).Err(); err != nil {
		return redisError(err)
	}
	n, err := s.rdb.Exists(ctx, grantKey(id)).Result()
	if err == nil && n == 0 {
		return nil
	}
	// There is a record, or nobody knows: one too many on the list is passed over.
	if err := s.rdb.ZAdd(ctx, indexKey, redis.Z{Member: id}).Err(); err != nil {
		return redisError(err)
	}
	return nil
}
