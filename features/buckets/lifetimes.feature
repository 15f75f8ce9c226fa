Feature: Making and removing buckets

  Everything is in a bucket.  Its name is everybody's, its content is its owner's, and it cannot be lost by accident.

  Rule: A bucket exists from the moment it is made until it is removed

    Scenario: A new bucket is found
      Given there is no bucket
      When I create the bucket
      Then it succeeds
      And the bucket exists

    Scenario: A new bucket is empty
      Given a bucket
      When I list the objects
      Then the keys are ""
      And the listing ends

    Scenario: Making one's own bucket again changes nothing
      Given a bucket
      And "greeting" holds "hello"
      When I create the bucket again
      Then "greeting" holds "hello"

    @needs.repeated-buckets
    Scenario: Making one's own bucket again is no fault
      Given a bucket
      When I create the bucket again
      Then it succeeds

    Scenario: A bucket that was removed is gone
      Given a bucket
      When I delete the bucket
      Then it succeeds
      And the bucket does not exist

    Scenario: A bucket can be made again after it was removed
      Given a bucket
      When I delete the bucket
      And I create the bucket
      Then it succeeds
      And the bucket exists

    Scenario: A bucket that was never made is not found
      Given there is no bucket
      When I look for the bucket
      Then it is refused with NoSuchBucket

    Scenario: A bucket that was never made cannot be removed
      Given there is no bucket
      When I delete the bucket
      Then it is refused with NoSuchBucket

    Scenario: Nothing can be put into a bucket that was never made
      Given there is no bucket
      When I put "greeting" holding "hello"
      Then it is refused with NoSuchBucket

    Scenario: Nothing is read from a bucket that was never made
      Given there is no bucket
      When I read "greeting"
      Then it is refused with NoSuchBucket

    Scenario: Deleting from a bucket that was never made is refused
      Given there is no bucket
      When I delete "greeting"
      Then it is refused with NoSuchBucket

    Scenario: A bucket that was never made has no listing
      Given there is no bucket
      When I list the objects
      Then it is refused with NoSuchBucket

  Rule: A bucket that holds something is not removed

    Scenario: With an object in it
      Given a bucket
      And "greeting" holds "hello"
      When I delete the bucket
      Then it is refused with BucketNotEmpty
      And "greeting" holds "hello"

    @needs.multipart @needs.uploads-keep-buckets
    Scenario: With an upload under way in it
      Given a bucket
      And an upload of "large"
      When I delete the bucket
      Then it is refused with BucketNotEmpty

    @needs.multipart
    Scenario: Once it is empty again it can be removed
      Given a bucket
      And "greeting" holds "hello"
      And an upload of "large"
      And the upload is given up
      When I delete "greeting"
      And I delete the bucket
      Then it succeeds

  Rule: A bucket's name follows S3's rules

    Scenario Outline: <name> cannot be a bucket's name because <why>
      Given there is no bucket
      When I create a bucket named "<name>"
      Then it is refused with InvalidBucketName

      Examples:
        | name            | why                            |
        | ab              | it is too short                |
        | Upper-case      | it has an upper-case letter    |
        | under_score     | it has an underscore           |
        | two..dots       | it has two dots together       |
        | -begins         | it begins with a hyphen        |
        | ends-           | it ends with a hyphen          |
        | .dot-first      | it begins with a dot           |
        | 192.168.5.4     | it is an address               |
        | xn--punycode    | its prefix is reserved         |
        | sthree-config   | its prefix is reserved         |
        | name-s3alias    | its suffix is reserved         |
        | name--ol-s3     | its suffix is reserved         |
        | with space      | it has a space                 |
        | ümlaut-bucket   | it has a letter that is no a-z |

    Scenario: A name of 63 characters is a name
      Given there is no bucket
      When I create a bucket whose name has 63 characters
      Then it succeeds

    Scenario: A name of 64 characters is none
      Given there is no bucket
      When I create a bucket whose name has 64 characters
      Then it is refused with InvalidBucketName

    Scenario: A name that could not be a bucket's is not found either
      Given there is no bucket
      When I look for a bucket named "No_Such_Name"
      Then it is refused with InvalidBucketName or NoSuchBucket

  Rule: A bucket is where the server is

    @needs.regions
    Scenario: A bucket made without a wish is in the server's region
      Given a bucket
      When I ask where the bucket is
      Then it succeeds
      And it tells no location constraint

    @needs.regions @needs.single-region
    Scenario: A bucket in a region that is another's is refused
      Given there is no bucket
      When I create the bucket with
        | location constraint | eu-central-1 |
      Then it is refused with IllegalLocationConstraintException
      And the bucket does not exist

    Scenario: A bucket that was never made is nowhere
      Given there is no bucket
      When I ask where the bucket is
      Then it is refused with NoSuchBucket

    Scenario: A bucket that never kept versions says so
      Given a bucket
      When I ask whether the bucket keeps versions
      Then it succeeds
      And it tells no status

  Rule: The list of buckets has all of them

    Scenario: A new bucket is in the list
      Given a bucket "one"
      And a bucket "two"
      When I list my buckets
      Then the list of buckets has "one"
      And the list of buckets has "two"

    @needs.ordered-buckets
    Scenario: The list is in order
      Given a bucket "one"
      And a bucket "two"
      And a bucket "three"
      And a bucket "four"
      And a bucket "five"
      And a bucket "six"
      And a bucket "seven"
      When I list my buckets
      Then the list of buckets is in order

    Scenario: The list can be asked for by page
      Given a bucket "one"
      And a bucket "two"
      When I list my buckets with
        | max buckets | 1 |
      Then the list of buckets has 1 entries
      And it tells its continuation token

    Scenario: A page cannot hold less than one bucket
      Given a bucket
      When I list my buckets with
        | max buckets | 0 |
      Then it is refused with InvalidArgument

  @needs.expected-owner
  Rule: A request can insist on the bucket's owner

    Scenario: The owner that is expected is the owner
      Given a bucket
      When I look for the bucket with
        | expected bucket owner | "000000000000" |
      Then it succeeds

    Scenario: Another owner than the one that is expected is refused
      Given a bucket
      When I delete the bucket with
        | expected bucket owner | "111122223333" |
      Then it is refused with AccessDenied
      And the bucket exists
