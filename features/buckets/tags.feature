@needs.bucket-tagging
Feature: Tagging buckets

  Rule: A bucket keeps the tags that it was given last

    Scenario: Tags come back as they were given
      Given a bucket
      When I tag the bucket
        | team  | storage |
        | stage | raw     |
      Then it succeeds
      And the bucket's tags are
        | team  | storage |
        | stage | raw     |

    Scenario: New tags take the place of the old ones
      Given a bucket
      And the bucket is tagged
        | team | storage |
      When I tag the bucket
        | owner | nobody |
      Then the bucket's tags are
        | owner | nobody |

    Scenario: A bucket that was never tagged says that it has no tags
      Given a bucket
      When I read the bucket's tags
      Then it is refused with NoSuchTagSet

    Scenario: Tags can be taken off
      Given a bucket
      And the bucket is tagged
        | team | storage |
      When I remove the bucket's tags
      And I read the bucket's tags
      Then it is refused with NoSuchTagSet

    Scenario: Taking tags off a bucket that has none is no fault
      Given a bucket
      When I remove the bucket's tags
      Then it succeeds

    Scenario: A bucket that was never made has no tags
      Given there is no bucket
      When I read the bucket's tags
      Then it is refused with NoSuchBucket

  Rule: A tag set has its limits

    Scenario: Fifty tags are as many as a bucket takes
      Given a bucket
      When I tag the bucket with 50 tags
      Then it succeeds

    Scenario: Fifty-one are too many
      Given a bucket
      When I tag the bucket with 51 tags
      Then it is refused with InvalidTag or BadRequest

    Scenario: Two tags cannot have the same key
      Given a bucket
      And the bucket is tagged
        | team | storage |
      When I tag the bucket
        | team | red  |
        | team | blue |
      Then it is refused with InvalidTag
      And the bucket's tags are
        | team | storage |

    Scenario Outline: A tag <what> is refused
      Given a bucket
      When I tag the bucket
        | <key> | <value> |
      Then it is refused with InvalidTag

      Examples:
        | what                         | key        | value        |
        | with a reserved prefix       | aws:team   | red          |
        | with a character S3 excludes | team       | red{blue}    |
        | with a key that is forbidden | team<1>    | red          |
